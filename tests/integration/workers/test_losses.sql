-- name: lose_worker
UPDATE orchestrator.workers SET heartbeat_at = now() - interval '1 hour' WHERE id = %(id)s

-- name: losses
SELECT run_id::text, losses FROM orchestrator.run_queue ORDER BY number
