-- name: append
SELECT orchestrator.append_events($1, $2, $3, $4, $5)

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

-- name: read_begun
-- Run by run, so that a reader needs to hold one at a time. Its events come in the order of the index by which they are
-- found; to say so here would make the server sort them once more.
SELECT e.originator_id::text AS run_id, e.originator_version, e.topic, e.state, e.notification_id
FROM (
    SELECT first.originator_id, latest.version
    FROM orchestrator.events AS first
    CROSS JOIN LATERAL (
        SELECT originator_version AS version FROM orchestrator.events AS l
        WHERE l.originator_id = first.originator_id AND l.notification_id <= %(goal)s
        ORDER BY l.originator_version DESC LIMIT 1
    ) AS latest
    WHERE first.notification_id > %(after)s AND first.notification_id <= %(until)s
      AND first.originator_version = 1 AND first.topic <> ALL(%(others)s::text[])
    ORDER BY first.originator_id
) AS begun
JOIN orchestrator.events AS e ON e.originator_id = begun.originator_id
WHERE e.notification_id <= %(goal)s
  AND (%(topics)s::text[] IS NULL OR e.topic = ANY(%(topics)s::text[]) OR e.originator_version = begun.version)
ORDER BY e.originator_id

-- name: no_deadline
SET LOCAL statement_timeout = 0

-- name: last_position
SELECT coalesce(max(notification_id), 0) AS position FROM orchestrator.events
