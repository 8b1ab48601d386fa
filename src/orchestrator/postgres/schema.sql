-- The recorded schema of a database.

-- name: marked
SELECT (SELECT json_object_agg(name, checksum) FROM orchestrator.migrations) AS applied, schema, oldest, format
FROM orchestrator.compatibility

-- name: exists
SELECT to_regclass('orchestrator.migrations') IS NOT NULL

-- name: applied
SELECT name, checksum FROM orchestrator.migrations ORDER BY name
