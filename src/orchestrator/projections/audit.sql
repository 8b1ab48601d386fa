-- name: runs
SELECT originator_id::text AS run_id, notification_id AS position
FROM events
WHERE topic = 'RunTriggered' AND originator_version = 1
  AND (%(run_id)s::uuid IS NULL OR originator_id = %(run_id)s::uuid)
  AND notification_id > %(after)s
ORDER BY notification_id
LIMIT %(limit)s

-- name: artifacts
SELECT tenant, id::text AS id, type, uri, content_hash, size_bytes, filename, metadata, run_id::text AS run_id, step_id
FROM artifacts
WHERE (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s::uuid) AND id > %(after)s::uuid
ORDER BY id
LIMIT %(limit)s

-- name: headless
SELECT DISTINCT e.originator_id::text AS stream_id, min(e.notification_id) AS position
FROM events AS e
WHERE NOT EXISTS (SELECT FROM events AS f WHERE f.originator_id = e.originator_id AND f.originator_version = 1)
GROUP BY e.originator_id
LIMIT 100
