-- name: rows
SELECT count(*) FROM orchestrator.step_logs
