-- name: lock_timeout
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', %(timeout_ms)s, true)

-- name: hold_rebuilds
SELECT pg_advisory_xact_lock(715002, hashtext(name))
FROM (SELECT unnest(%(names)s::text[]) AS name UNION SELECT name FROM projections ORDER BY name) AS m

-- name: hold_projections
SELECT name, position FROM projections ORDER BY name FOR UPDATE

-- name: bury
INSERT INTO archived_runs (run_id, tenant, workflow_name, workflow_version, status, created_at, completed_at, request,
    steps, first_position, last_position, positions, digests, archive)
VALUES (%(run_id)s, %(tenant)s, %(workflow_name)s, %(workflow_version)s, %(status)s, %(created_at)s, %(completed_at)s,
    %(request)s, %(steps)s, %(first_position)s, %(last_position)s, %(positions)s, %(digests)s, %(archive)s)

-- name: forget_events
DELETE FROM events WHERE originator_id = ANY(%(run_ids)s::uuid[])

-- Every statement whose name begins with `forget_rows_` is executed when runs leave: a table that holds rows of runs needs
-- only a statement here.

-- name: forget_rows_runs
DELETE FROM runs WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: forget_rows_steps
DELETE FROM run_steps WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: forget_rows_progress
DELETE FROM step_progress WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: forget_rows_logs
DELETE FROM step_logs WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: forget_rows_retiring
DELETE FROM retiring_runs WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: custom_tables
SELECT c.relname AS name
FROM pg_class AS c
WHERE c.relname = ANY(%(names)s::text[]) AND c.relnamespace = 'orchestrator'::regnamespace
  AND obj_description(c.oid, 'pg_class') LIKE 'read model %%'

-- name: forget_custom_rows
DELETE FROM {table} WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: forget_artifacts
DELETE FROM artifacts AS a
USING unnest(%(tenants)s::text[], %(ids)s::uuid[]) AS m (tenant, id)
WHERE a.tenant = m.tenant AND a.id = m.id AND a.run_id = ANY(%(run_ids)s::uuid[])
RETURNING a.tenant, a.id::text AS id

-- name: hand_on_artifacts
INSERT INTO artifacts
SELECT DISTINCT ON (s.tenant, a.id) s.tenant, a.id, a.type, a.uri, a."contentHash", a."sizeBytes", a.filename,
    a.metadata, s.run_id, s.step_id, s.ended_at
FROM run_steps AS s
CROSS JOIN json_to_recordset(s.output -> 'artifacts') AS a (
    id uuid, type text, uri text, "contentHash" text, "sizeBytes" bigint, filename text, metadata json)
JOIN unnest(%(tenants)s::text[], %(ids)s::uuid[]) AS wanted (tenant, id) ON wanted.tenant = s.tenant AND wanted.id = a.id
WHERE s.artifacts > 0 AND s.status = 'completed'
ORDER BY s.tenant, a.id, s.ended_at, s.run_id, s.step_id, a.filename

-- name: forget_rebuilds
DELETE FROM rebuilds

-- name: forget_rebuilt
-- What an interrupted rebuild has copied: the next one begins again.
DROP SCHEMA IF EXISTS {schema} CASCADE
