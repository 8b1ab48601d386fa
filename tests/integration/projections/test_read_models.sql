-- name: dump
SELECT 'runs' AS model, to_jsonb(r)::text AS content FROM orchestrator.runs AS r
UNION ALL
SELECT 'run_steps', to_jsonb(s)::text FROM orchestrator.run_steps AS s
UNION ALL
SELECT 'artifacts', to_jsonb(a)::text FROM orchestrator.artifacts AS a
ORDER BY 1, 2

-- name: wipe
TRUNCATE orchestrator.runs, orchestrator.run_steps, orchestrator.artifacts, orchestrator.projections

-- name: kill_projectors
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'projecting'

-- name: flush_late
ALTER SYSTEM SET wal_writer_delay = '10s'

-- name: reload
SELECT pg_reload_conf()
