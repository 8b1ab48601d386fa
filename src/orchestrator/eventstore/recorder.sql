-- name: append
SELECT orchestrator.append_events(%b, %b, %b, %b, %s::jsonb) AS first_position

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

-- name: read_range
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE notification_id > %s AND notification_id <= %s
ORDER BY notification_id

-- name: read_topics
SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id
FROM orchestrator.events AS e
JOIN (
    SELECT originator_id, max(originator_version) AS version
    FROM orchestrator.events
    WHERE notification_id > %s AND notification_id <= %s
    GROUP BY originator_id
) AS last ON last.originator_id = e.originator_id
WHERE e.notification_id > %s AND e.notification_id <= %s
  AND (e.topic = ANY(%s::text[]) OR e.originator_version = last.version)
ORDER BY e.notification_id

-- name: last_position
SELECT coalesce(max(notification_id), 0) AS position FROM orchestrator.events
