-- name: state
SELECT version, position FROM rebuilds WHERE name = %(name)s

-- name: begin
INSERT INTO rebuilds (name, version) VALUES (%(name)s, %(version)s)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = 0, started_at = now()

-- name: advance
UPDATE rebuilds SET position = %(position)s WHERE name = %(name)s

-- name: finish
DELETE FROM rebuilds WHERE name = %(name)s

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: drop_schema
DROP SCHEMA IF EXISTS {schema} CASCADE

-- name: create_table
CREATE TABLE {schema}.{table} (LIKE orchestrator.{table} INCLUDING ALL)

-- name: use_schema
SELECT set_config('search_path', %(schema)s || ', orchestrator', true)

-- name: no_deadline
SET LOCAL statement_timeout = 0

-- name: copy
COPY {table} ({columns}) FROM STDIN

-- name: position
SELECT position FROM projections WHERE name = %(name)s

-- name: lock
SELECT position, version FROM projections WHERE name = %(name)s FOR UPDATE

-- name: compare
SELECT to_jsonb(old) AS old, to_jsonb(new) AS new
FROM orchestrator.{table} AS old
FULL JOIN {schema}.{table} AS new USING ({key})
WHERE to_jsonb(old) IS DISTINCT FROM to_jsonb(new)
LIMIT %(limit)s

-- name: move_old
ALTER TABLE orchestrator.{table} SET SCHEMA {attic}

-- name: move_new
ALTER TABLE {schema}.{table} SET SCHEMA orchestrator

-- name: set_version
UPDATE projections SET version = %(version)s, position = %(position)s, state = 'live', error = NULL, updated_at = now()
WHERE name = %(name)s

-- name: exclusive
SELECT pg_try_advisory_lock(715002, hashtext(%(name)s)) AS locked

-- name: release
SELECT pg_advisory_unlock(715002, hashtext(%(name)s))

-- name: create_attic
CREATE SCHEMA {attic}

-- name: drop_attic
DROP SCHEMA {attic} CASCADE
