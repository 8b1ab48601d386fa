-- name: needing
-- Other runs that are based on a run, reuse from it, or show a result of it.
SELECT DISTINCT needing.run_id::text AS run_id
FROM (
    SELECT run_id FROM runs WHERE tenant = %(tenant)s AND base_run_id = %(run_id)s::uuid
    UNION ALL
    SELECT r.run_id
    FROM runs AS r CROSS JOIN json_array_elements(r.reused) AS item
    WHERE r.tenant = %(tenant)s AND (item ->> 'run_id')::uuid = %(run_id)s::uuid
    UNION ALL
    SELECT run_id FROM run_steps WHERE tenant = %(tenant)s AND source_run = %(run_id)s::uuid
) AS needing
WHERE needing.run_id <> %(run_id)s::uuid
ORDER BY run_id
LIMIT %(limit)s

-- name: hold_appends
SELECT pg_advisory_xact_lock(715001)

-- name: recent
SELECT originator_id, originator_version, topic, state, notification_id
FROM events
WHERE notification_id > %(after)s AND topic IN ('RunTriggered', 'StepCacheHit')
ORDER BY notification_id

-- name: forget_results
DELETE FROM step_cache
WHERE tenant = %(tenant)s AND key = ANY(%(keys)s::text[]) AND run_id = %(run_id)s::uuid

-- name: log_content
SELECT DISTINCT content_hash FROM step_logs WHERE tenant = %(tenant)s AND run_id = %(run_id)s::uuid

-- name: next_epoch
-- The fast tiers drop their entries of the tenant.
SELECT begin_epochs(ARRAY[%(tenant)s::text])

-- name: record
INSERT INTO deletions (run_id, tenant, events, reason, deleted_by)
VALUES (%(run_id)s::uuid, %(tenant)s, %(events)s, %(reason)s, %(by)s)
RETURNING deleted_at
