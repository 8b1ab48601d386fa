-- Content that rows name, as SHA-256 in hex in the column `content_hash`. `hashes` limits the answer to some, unless it
-- is null. Every statement of this file whose name begins with `kept_` is asked: a table that names content needs only a
-- statement here.

-- name: kept_by_artifacts
SELECT content_hash
FROM artifacts
WHERE tenant = %(tenant)s AND (%(hashes)s::text[] IS NULL OR content_hash = ANY(%(hashes)s::text[]))

-- name: kept_by_steps
SELECT named.content_hash
FROM run_steps AS s
CROSS JOIN LATERAL (
    SELECT s.output -> 'dataRef' ->> 'contentHash' AS content_hash
    UNION ALL
    SELECT item ->> 'contentHash'
    FROM json_array_elements(CASE WHEN s.artifacts > 0 THEN s.output -> 'artifacts' END) AS item
) AS named
WHERE s.tenant = %(tenant)s AND s.output IS NOT NULL
  AND (%(hashes)s::text[] IS NULL OR named.content_hash = ANY(%(hashes)s::text[]))

-- name: kept_by_cache
SELECT named.content_hash
FROM step_cache AS c
CROSS JOIN LATERAL (
    SELECT c.output -> 'dataRef' ->> 'contentHash' AS content_hash
    UNION ALL
    SELECT item ->> 'contentHash' FROM json_array_elements(c.output -> 'artifacts') AS item
) AS named
WHERE c.tenant = %(tenant)s
  AND (%(hashes)s::text[] IS NULL OR named.content_hash = ANY(%(hashes)s::text[]))

-- name: kept_by_logs
SELECT content_hash
FROM step_logs
WHERE tenant = %(tenant)s AND (%(hashes)s::text[] IS NULL OR content_hash = ANY(%(hashes)s::text[]))

-- name: outputs
-- The events that carry outputs.
SELECT originator_id, originator_version, topic, state, notification_id
FROM events
WHERE notification_id > %(after)s AND notification_id <= %(until)s AND topic IN ('StepCompleted', 'StepCacheHit')
ORDER BY notification_id

-- name: archives
SELECT name, events FROM archives ORDER BY name
