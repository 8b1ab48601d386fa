-- name: register_worker
INSERT INTO workers (id, host, pid, lease) VALUES (%(id)s, 'host', 1, '1 hour')

-- name: lose_worker
UPDATE workers SET heartbeat_at = now() - interval '2 hours' WHERE id = %(id)s

-- name: queue_run
INSERT INTO run_queue (run_id, tenant, owner) VALUES (%(run_id)s::uuid, 't', %(worker)s)

-- name: give_back
UPDATE run_queue SET owner = NULL WHERE run_id = %(run_id)s::uuid

-- name: end_run
DELETE FROM run_queue WHERE run_id = %(run_id)s::uuid

-- name: apply
SELECT apply_inline(%s::jsonb)

-- name: listen
LISTEN orchestrator_flights

-- name: terminate_others
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
