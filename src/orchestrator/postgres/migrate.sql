-- The database's record of its migrations, and its compatibility marks.

-- name: lock
SELECT pg_advisory_lock(715000)

-- name: unlock
SELECT pg_advisory_unlock(715000)

-- name: create
CREATE SCHEMA IF NOT EXISTS orchestrator;
CREATE TABLE IF NOT EXISTS orchestrator.migrations (
    name       text        PRIMARY KEY,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: short_waits
-- Other sessions that need a table queue behind a migration that waits for it.
SET LOCAL lock_timeout = '2s'

-- name: record
INSERT INTO orchestrator.migrations (name, checksum) VALUES (%(name)s, %(checksum)s)

-- name: is_marked
SELECT to_regclass('orchestrator.compatibility') IS NOT NULL

-- name: mark
UPDATE orchestrator.compatibility
SET schema = greatest(schema, %(number)s), oldest = greatest(oldest, %(oldest)s)

-- name: finish
WITH finished AS (
    UPDATE orchestrator.compatibility SET format = %(format)s WHERE format < %(format)s RETURNING format
)
SELECT pg_notify('orchestrator_format', format::text) FROM finished
