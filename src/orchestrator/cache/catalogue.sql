-- name: stats
SELECT workflow, step_id, count(*) AS entries, sum(size_bytes)::bigint AS bytes,
    min(stored_at) AS oldest, max(stored_at) AS newest
FROM step_cache
WHERE tenant = %(tenant)s
GROUP BY workflow, step_id
ORDER BY workflow, step_id

-- name: list
SELECT key, workflow, step_id, skill, scope, run_id::text AS run_id, size_bytes, stored_at
FROM step_cache
WHERE tenant = %(tenant)s
  AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
  AND (%(step)s::text IS NULL OR step_id = %(step)s)
ORDER BY stored_at DESC, key, run_id
LIMIT %(limit)s

-- name: stored_before
SELECT wanted.step_id, c.run_id::text AS run_id
FROM unnest(%(steps)s::text[], %(times)s::bigint[]) AS wanted (step_id, at)
CROSS JOIN LATERAL (
    SELECT s.run_id
    FROM step_cache AS s
    WHERE s.tenant = %(tenant)s AND s.workflow = %(workflow)s AND s.step_id = wanted.step_id
      AND s.stored_at <= wanted.at AND s.run_id <> %(run_id)s::uuid
    ORDER BY s.stored_at DESC
    LIMIT 1
) AS c

-- name: matching
SELECT count(DISTINCT key) AS keys
FROM step_cache
WHERE tenant = %(tenant)s
  AND (key = ANY(%(keys)s::text[])
       OR (workflow = %(workflow)s AND (%(step)s::text IS NULL OR step_id = %(step)s)))

-- name: prunable
WITH newest_first AS (
    SELECT key, max(stored_at) AS stored_at, sum(size_bytes) AS size_bytes
    FROM step_cache
    WHERE tenant = %(tenant)s
    GROUP BY key
), ranked AS (
    SELECT key, stored_at,
        row_number() OVER (ORDER BY stored_at DESC, key) AS number,
        sum(size_bytes) OVER (ORDER BY stored_at DESC, key) AS bytes
    FROM newest_first
)
SELECT key
FROM ranked
WHERE (%(before)s::bigint IS NOT NULL AND stored_at < %(before)s)
   OR (%(entries)s::bigint IS NOT NULL AND number > %(entries)s)
   OR (%(bytes)s::bigint IS NOT NULL AND bytes > %(bytes)s)
ORDER BY number DESC

-- name: version
SELECT coalesce(max(originator_version), 0) AS version FROM events WHERE originator_id = %(stream)s::uuid
