-- name: heartbeat
SELECT heartbeat_at FROM orchestrator.workers
