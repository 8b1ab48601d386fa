-- name: schemas
SELECT count(*) FROM pg_namespace WHERE nspname = 'orchestrator'

-- name: next_release
-- What a migration of the next release leaves.
WITH applied AS (INSERT INTO orchestrator.migrations (name, checksum) VALUES ('0999_next', 'x'))
UPDATE orchestrator.compatibility SET schema = 999

-- name: contract
UPDATE orchestrator.compatibility SET oldest = 999
