-- name: queue
SELECT run_id::text, owner FROM orchestrator.run_queue ORDER BY number
