-- name: terminate_others
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'

-- name: queue
SELECT run_id::text FROM orchestrator.run_queue WHERE run_id = ANY(%s::uuid[]) ORDER BY run_id
