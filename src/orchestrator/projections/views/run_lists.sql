-- name: newest
SELECT run_id::text AS run_id, first_position
FROM runs
WHERE tenant = %(tenant)s
  AND first_position > %(after)s AND first_position < %(before)s
  AND (%(since)s::bigint IS NULL OR created_at >= %(since)s)
  AND (%(until)s::bigint IS NULL OR created_at < %(until)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
  AND (%(workflow_version)s::text IS NULL OR workflow_version = %(workflow_version)s)
  AND (%(base_run_id)s::uuid IS NULL OR base_run_id = %(base_run_id)s)
  AND (%(label)s::jsonb IS NULL OR (labels <> '{}' AND labels @> %(label)s))
ORDER BY first_position DESC
LIMIT %(limit)s

-- name: by_id
-- The runs whose ids are in a range, by the primary key, the last id first.
SELECT run_id::text AS run_id, first_position
FROM runs
WHERE tenant = %(tenant)s AND run_id BETWEEN %(first_id)s::uuid AND %(last_id)s::uuid
  AND (%(since)s::bigint IS NULL OR created_at >= %(since)s)
  AND (%(until)s::bigint IS NULL OR created_at < %(until)s)
  AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
  AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
  AND (%(workflow_version)s::text IS NULL OR workflow_version = %(workflow_version)s)
  AND (%(base_run_id)s::uuid IS NULL OR base_run_id = %(base_run_id)s)
  AND (%(label)s::jsonb IS NULL OR labels @> %(label)s)
ORDER BY runs.run_id DESC
LIMIT %(limit)s

-- name: position_at
-- A position before every run that was triggered at or after a time, found by bisection in the index `runs_newest`.
-- Clocks differ, so a run counts as older only if it is older by the given slack.
WITH RECURSIVE search AS (
    SELECT 0::bigint AS low, coalesce(max(first_position), 0) AS high FROM runs WHERE tenant = %(tenant)s
    UNION ALL
    SELECT CASE WHEN probe.is_older THEN probe.middle ELSE search.low END,
           CASE WHEN probe.is_older THEN search.high ELSE probe.middle END
    FROM search
    CROSS JOIN LATERAL (
        SELECT (search.low + search.high) / 2 AS middle, coalesce((
            SELECT r.created_at < %(since)s - %(slack)s FROM runs AS r
            WHERE r.tenant = %(tenant)s AND r.first_position > (search.low + search.high) / 2
            ORDER BY r.first_position LIMIT 1
        ), false) AS is_older
    ) AS probe
    WHERE search.high - search.low > 1
)
SELECT max(low) AS position FROM search

-- name: version_registered
SELECT registered_at FROM workflows
WHERE tenant = %(tenant)s AND name = %(workflow)s AND version = %(workflow_version)s
