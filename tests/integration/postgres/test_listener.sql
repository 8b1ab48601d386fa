-- name: notify
SELECT pg_notify(%s, %s)

-- name: terminate
SELECT pg_terminate_backend(%s)

-- name: listeners
SELECT pid, backend_start::text FROM pg_stat_activity
WHERE application_name = %s

-- name: notify_all
SELECT pg_notify(channel, %s) FROM unnest(%s::text[]) AS channel
