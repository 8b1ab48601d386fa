-- name: last_position
SELECT coalesce(max(notification_id), 0)::text FROM orchestrator.events
