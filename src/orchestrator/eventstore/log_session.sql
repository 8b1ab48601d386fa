-- name: append
SELECT orchestrator.append_events($1, $2, $3, $4, $5)

-- name: read_stream
SELECT originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE originator_id = $1 AND originator_version > $2
ORDER BY originator_version
