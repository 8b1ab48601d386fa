-- name: append
SELECT orchestrator.append_events(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %s::jsonb) AS first_position

-- name: read_stream
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE originator_id = %s AND originator_version > %s
ORDER BY originator_version
LIMIT %s::bigint

-- name: read_streams
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE originator_id = ANY(%s)
ORDER BY originator_id, originator_version

-- name: read_log
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE notification_id > %s
ORDER BY notification_id
LIMIT %s

-- name: last_position
SELECT coalesce(max(notification_id), 0) AS position FROM orchestrator.events
