-- name: consult
WITH questions AS (
    SELECT *
    FROM unnest(%(keys)s::text[], %(skills)s::text[], %(steps)s::text[], %(shared)s::boolean[])
        AS q (key, skill, step_id, shared)
), hits AS (
    SELECT q.key, c.run_id, c.output
    FROM questions AS q
    CROSS JOIN LATERAL (
        SELECT c.run_id, c.output
        FROM step_cache AS c
        WHERE c.tenant = %(tenant)s AND c.key = q.key AND c.skill = q.skill
          AND ((c.scope = 'global' AND q.shared) OR c.run_id = ANY(%(serving)s::uuid[]))
        ORDER BY c.stored_at DESC
        LIMIT 1
    ) AS c
    WHERE q.key <> ALL(%(spoiled)s::text[])
), flown AS (
    INSERT INTO flights (tenant, key, run_id, step_id, worker)
    SELECT %(tenant)s, q.key, %(run_id)s::uuid, q.step_id, %(worker)s
    FROM questions AS q
    WHERE q.shared AND NOT EXISTS (SELECT FROM hits WHERE hits.key = q.key)
    ORDER BY q.key
    ON CONFLICT (tenant, key) DO UPDATE SET
        waited = true,
        (run_id, step_id, worker) = (
            SELECT CASE WHEN free THEN excluded.run_id ELSE flights.run_id END,
                   CASE WHEN free THEN excluded.step_id ELSE flights.step_id END,
                   CASE WHEN free THEN excluded.worker ELSE flights.worker END
            FROM (SELECT flights.run_id = excluded.run_id OR NOT EXISTS (
                SELECT FROM workers AS w WHERE w.id = flights.worker AND NOT is_dead(w)) AS free) AS holder)
    RETURNING key, run_id = %(run_id)s::uuid AS granted
)
SELECT q.key, hits.run_id::text AS source_run, hits.output, coalesce(flown.granted, true) AS granted
FROM questions AS q
LEFT JOIN hits ON hits.key = q.key
LEFT JOIN flown ON flown.key = q.key
-- who is making what need not be on disk
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS durability

-- name: epoch
SELECT epoch FROM cache_epochs WHERE tenant = %s

-- name: land
SELECT land_flights(%(run_ids)s::uuid[], %(steps)s::text[])
