-- name: versions
INSERT INTO orchestrator.workflows (tenant, name, version, number, digest, definition, registered_at)
SELECT 'default', 'many.v1', v.version, v.number, v.version, '{}', v.registered_at
FROM (VALUES ('1', 1, 0), ('2', 2, 90000000)) AS v (version, number, registered_at)

-- name: runs
-- Runs, one a second. Their ids begin with the time, as those of version 7 do.
INSERT INTO orchestrator.runs (
    run_id, tenant, workflow_name, workflow_version, trigger_type, status, priority, labels, payload, reused,
    missing_skills, created_at, updated_at, stream_version, first_position, position
)
SELECT (lpad(to_hex(n * 1000), 12, '0') || '7' || substr(md5(n::text), 1, 19))::uuid, 'default', 'many.v1',
    CASE WHEN n > 90000 AND mod(n, 2) = 0 THEN '2' ELSE '1' END, 'initial',
    CASE WHEN n <= 20 THEN 'failed' WHEN n = 30 THEN 'cancelled' ELSE 'completed' END, 0, '{}', '{}', '[]', '[]',
    n::bigint * 1000, n::bigint * 1000, 5, n * 5, n * 5 + 4
FROM generate_series(%s::int, %s::int) AS n

-- name: analyze
ANALYZE orchestrator.runs, orchestrator.workflows

-- name: rows_read
SELECT seq_tup_read + idx_tup_fetch AS read FROM pg_stat_xact_user_tables
WHERE schemaname = 'orchestrator' AND relname = 'runs'

-- name: late_clock
UPDATE orchestrator.runs SET created_at = %(at)s WHERE first_position = %(run)s * 5 RETURNING run_id
