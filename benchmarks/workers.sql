-- name: queued
SELECT EXISTS (SELECT FROM orchestrator.run_queue)
