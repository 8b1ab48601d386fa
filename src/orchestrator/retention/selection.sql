-- name: settled
-- The position that the built-in read models and the chain have reached. The newest event stays, because the next
-- position follows from it.
SELECT least(
    coalesce((SELECT min(position) FROM projections WHERE name = ANY(%(names)s)), 0),
    coalesce((SELECT max(last_position) FROM chain_segments), 0),
    coalesce((SELECT max(notification_id) FROM events), 1) - 1
) AS position

-- name: choose
CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
WITH RECURSIVE old AS MATERIALIZED (
    SELECT run_id FROM runs
    WHERE status IN ('completed', 'failed', 'cancelled') AND completed_at < %(before)s AND position <= %(settled)s
), reference AS MATERIALIZED (
    SELECT run_id, base_run_id AS needed FROM runs WHERE base_run_id IS NOT NULL
    UNION
    SELECT r.run_id, (item ->> 'run_id')::uuid FROM runs AS r CROSS JOIN json_array_elements(r.reused) AS item
    UNION
    SELECT run_id, source_run FROM run_steps WHERE source_run IS NOT NULL AND source_run <> run_id
), serving AS MATERIALIZED (
    -- The cache uses the newest result of a key and skill. Results with scope run_only are used until their run ends.
    SELECT run_id FROM (
        SELECT DISTINCT ON (tenant, key, skill) run_id
        FROM step_cache WHERE scope = 'global'
        ORDER BY tenant, key, skill, stored_at DESC
    ) AS newest
    UNION
    SELECT run_id FROM step_cache WHERE scope <> 'global'
), kept (run_id) AS (
    SELECT needed FROM reference WHERE run_id NOT IN (SELECT run_id FROM old)
    UNION
    SELECT run_id FROM serving
    UNION
    SELECT r.needed FROM kept AS k JOIN reference AS r ON r.run_id = k.run_id
)
SELECT o.run_id,
    CASE WHEN s.run_id IS NOT NULL THEN 'cache' WHEN k.run_id IS NOT NULL THEN 'runs' END AS kept_for
FROM old AS o
LEFT JOIN kept AS k ON k.run_id = o.run_id
LEFT JOIN serving AS s ON s.run_id = o.run_id

-- name: counts
SELECT count(*) FILTER (WHERE kept_for IS NULL) AS leaving,
       count(*) FILTER (WHERE kept_for = 'cache') AS kept_for_cache,
       count(*) FILTER (WHERE kept_for = 'runs') AS kept_for_runs
FROM chosen

-- name: mark
INSERT INTO retiring_runs (run_id, month, first_position, events, cutoff)
SELECT r.run_id, to_char(to_timestamp(r.completed_at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM'), r.first_position,
    r.stream_version, %(before)s
FROM chosen AS c
JOIN runs AS r ON r.run_id = c.run_id
WHERE c.kept_for IS NULL
ON CONFLICT DO NOTHING

-- name: hold_appends
SELECT pg_advisory_xact_lock(715001)

-- name: marked
SELECT count(*) AS runs FROM retiring_runs WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: withdraw
-- Results that the cache no longer uses are deleted with their run.
WITH made AS (
    SELECT s.tenant, s.cache_key, s.run_id
    FROM retiring_runs AS r
    JOIN run_steps AS s ON s.run_id = r.run_id
    WHERE s.cache_key IS NOT NULL AND s.status = 'completed'
), gone AS (
    DELETE FROM step_cache AS c USING made AS m
    WHERE c.tenant = m.tenant AND c.key = m.cache_key AND c.run_id = m.run_id
    RETURNING c.tenant
)
SELECT DISTINCT tenant FROM gone ORDER BY tenant

-- name: next_epoch
-- The fast tiers drop their entries of these tenants.
SELECT begin_epochs(%(tenants)s::text[])

-- name: recent
SELECT originator_id, originator_version, topic, state, notification_id
FROM events
WHERE notification_id > %(after)s AND notification_id <= %(until)s AND topic IN ('RunTriggered', 'StepCacheHit')
ORDER BY notification_id
