-- name: session
SELECT pid, backend_start::text, coalesce((SELECT max(notification_id) FROM orchestrator.events), 0)::text
FROM pg_stat_activity WHERE pid = pg_backend_pid()
