-- name: open_runs
SELECT e.originator_id::text AS run_id
FROM events AS e
WHERE e.topic = 'RunTriggered' AND e.originator_version = 1 AND e.notification_id <= %(until)s
  AND NOT EXISTS (
      SELECT FROM events AS ended WHERE ended.originator_id = e.originator_id AND ended.topic = ANY(%(terminal)s::text[]))
ORDER BY e.notification_id

-- name: hold_appends
SELECT pg_advisory_xact_lock(715001)

-- name: touched
SELECT e.originator_id::text AS run_id
FROM events AS e
WHERE e.notification_id > %(after)s AND e.topic <> ALL(%(others)s::text[])
GROUP BY e.originator_id
ORDER BY min(e.notification_id)

-- name: live
SELECT run_id::text AS run_id, tenant, priority, owner, blocked_on, format FROM run_queue

-- name: remove
DELETE FROM run_queue WHERE run_id = ANY(%(run_ids)s::uuid[])

-- name: put
WITH put AS (
    INSERT INTO run_queue (run_id, tenant, priority, blocked_on, format)
    SELECT r.run_id, r.tenant, r.priority, r.blocked_on, r.format
    FROM json_to_recordset(%(rows)s::json) AS r (
        run_id uuid, tenant text, priority integer, blocked_on text[], format integer, position bigint)
    ORDER BY r.position
    ON CONFLICT (run_id) DO UPDATE SET
        tenant = excluded.tenant, priority = excluded.priority, blocked_on = excluded.blocked_on,
        format = excluded.format
    RETURNING run_id
)
SELECT pg_notify('orchestrator_queue', '') FROM put LIMIT 1
