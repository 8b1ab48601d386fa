-- name: runs
SELECT DISTINCT originator_id::text AS run_id, min(notification_id) AS position
FROM events
WHERE topic = 'RunTriggered' AND (%(run_id)s::uuid IS NULL OR originator_id = %(run_id)s::uuid)
  AND notification_id > %(after)s
GROUP BY originator_id
ORDER BY position
LIMIT %(limit)s

-- name: artifacts
SELECT tenant, id::text AS id, type, uri, content_hash, size_bytes, filename, metadata, run_id::text AS run_id, step_id
FROM artifacts
WHERE (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s::uuid) AND id > %(after)s::uuid
ORDER BY id
LIMIT %(limit)s

-- name: orphans
SELECT r.run_id::text AS run_id FROM runs AS r
WHERE NOT EXISTS (SELECT FROM events AS e WHERE e.originator_id = r.run_id AND e.originator_version = 1)
LIMIT 100
