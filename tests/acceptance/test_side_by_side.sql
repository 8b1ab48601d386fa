-- name: topics
SELECT DISTINCT topic FROM orchestrator.events

-- name: fields
-- How many events have a field of this name.
SELECT count(*) FROM orchestrator.events WHERE position(%(field)s::bytea IN state) > 0

-- name: queued
SELECT run_id::text, format, owner FROM orchestrator.run_queue
