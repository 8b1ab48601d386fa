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
-- Run by run, so that the reader holds only one at a time. The events of a run come in index order; a complete ORDER BY
-- would make the server sort them again.
SELECT e.originator_id::text AS run_id, e.originator_version, e.topic, e.state, e.notification_id
FROM (
    SELECT first.originator_id
    FROM orchestrator.events AS first
    WHERE first.notification_id > %(after)s AND first.notification_id <= %(until)s
      AND first.originator_version = 1 AND first.topic <> ALL(%(others)s::text[])
    ORDER BY first.originator_id
) AS begun
JOIN orchestrator.events AS e ON e.originator_id = begun.originator_id
WHERE e.notification_id <= %(goal)s
ORDER BY e.originator_id

-- name: read_begun_topics
-- Some events of each run. Events that this program does not know are always read: a fold must not skip them.
-- The events of runs that end soon are filtered from a scan of the log, which takes a third of the time of a lookup per
-- run; the events of long runs are looked up.
WITH begun AS MATERIALIZED (
    SELECT first.originator_id, latest.version, latest.position,
        latest.position <= 2 * %(until)s::bigint - %(after)s::bigint AS ends_soon
    FROM orchestrator.events AS first
    CROSS JOIN LATERAL (
        SELECT l.originator_version AS version, l.notification_id AS position
        FROM orchestrator.events AS l
        WHERE l.originator_id = first.originator_id AND l.notification_id <= %(goal)s
        ORDER BY l.originator_version DESC LIMIT 1
    ) AS latest
    WHERE first.notification_id > %(after)s AND first.notification_id <= %(until)s
      AND first.originator_version = 1 AND first.topic <> ALL(%(others)s::text[])
)
SELECT e.originator_id::text AS run_id, e.originator_version, e.topic, e.state, e.notification_id
FROM begun
JOIN orchestrator.events AS e ON e.originator_id = begun.originator_id
WHERE begun.ends_soon
  AND e.notification_id > %(after)s AND e.notification_id <= (SELECT max(position) FROM begun WHERE ends_soon)
  AND (e.topic = ANY(%(topics)s::text[]) OR e.topic <> ALL(%(known)s::text[]) OR e.originator_version = begun.version)
UNION ALL
SELECT e.originator_id::text, e.originator_version, e.topic, e.state, e.notification_id
FROM begun
CROSS JOIN LATERAL (
    SELECT * FROM orchestrator.events AS own
    WHERE own.originator_id = begun.originator_id
    OFFSET 0 -- prevents the planner from scanning the whole log instead of looking up each run
) AS e
WHERE NOT begun.ends_soon AND e.notification_id <= %(goal)s
  AND (e.topic = ANY(%(topics)s::text[]) OR e.topic <> ALL(%(known)s::text[]) OR e.originator_version = begun.version)
ORDER BY run_id

-- name: last_position
SELECT coalesce(max(notification_id), 0) AS position FROM orchestrator.events

-- name: read_after
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE originator_id = %(stream_id)s AND originator_version > %(edge)s
  AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
ORDER BY originator_version
LIMIT %(limit)s::bigint

-- name: read_before
SELECT originator_id, originator_version, topic, state, notification_id
FROM orchestrator.events
WHERE originator_id = %(stream_id)s AND originator_version < %(edge)s
  AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
ORDER BY originator_version DESC
LIMIT %(limit)s::bigint
