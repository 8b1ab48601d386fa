-- name: beat
INSERT INTO workers (id, host, pid, pulse, lease, session_pid, session_start)
VALUES (
    %(id)s, %(host)s, %(pid)s, %(pulse)s, make_interval(secs => %(lease)s),
    %(session_pid)s, %(session_start)s::timestamptz)
ON CONFLICT (id) DO UPDATE SET
    heartbeat_at = now(), session_pid = excluded.session_pid, session_start = excluded.session_start
RETURNING
    (SELECT EXISTS (SELECT FROM run_queue WHERE owner <> %(id)s)) AS others_at_work,
    (SELECT count(*) FROM run_queue WHERE owner = %(id)s) AS owned,
    (SELECT EXISTS (
        SELECT FROM run_queue WHERE owner IS NULL AND (blocked_on IS NULL OR blocked_on <@ %(skills)s::text[]))) AS waiting

-- name: neighbours
SELECT id, pulse FROM workers WHERE id <> %(id)s AND pulse IS NOT NULL

-- name: sweep
WITH ended AS (
    DELETE FROM workers WHERE id = ANY(%(ended)s::text[]) RETURNING id
), dead AS (
    SELECT id FROM workers AS worker WHERE id <> %(id)s AND is_dead(worker)
    UNION
    SELECT id FROM ended
), freed AS (
    UPDATE run_queue AS q SET owner = NULL
    WHERE q.owner IN (SELECT id FROM dead)
       OR (q.owner <> %(id)s AND NOT EXISTS (SELECT FROM workers WHERE workers.id = q.owner))
    RETURNING q.run_id
), forgotten AS (
    DELETE FROM workers AS worker USING dead
    WHERE worker.id = dead.id AND worker.heartbeat_at < now() - interval '1 hour'
)
SELECT count(*) AS freed FROM freed

-- name: claim
WITH picked AS (
    SELECT run_id FROM run_queue
    WHERE owner IS NULL AND (blocked_on IS NULL OR blocked_on <@ %(skills)s::text[])
    ORDER BY priority DESC, number
    LIMIT %(room)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE run_queue AS q SET owner = %(id)s, blocked_on = NULL FROM picked WHERE q.run_id = picked.run_id
    RETURNING q.run_id
)
SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id
FROM claimed
JOIN events AS e ON e.originator_id = claimed.run_id
-- the commit of a claim need not wait for the disk
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS durability
ORDER BY e.originator_id, e.originator_version

-- name: owners
SELECT run_id, owner FROM run_queue WHERE owner = %(id)s OR run_id = ANY(%(run_ids)s::uuid[])

-- name: release
WITH released AS (
    UPDATE run_queue SET owner = NULL WHERE owner = %(id)s AND run_id = ANY(%(run_ids)s::uuid[]) RETURNING run_id
)
SELECT pg_notify('orchestrator_queue', '') FROM released LIMIT 1

-- name: sign_off
WITH released AS (
    UPDATE run_queue SET owner = NULL WHERE owner = %(id)s RETURNING run_id
), gone AS (
    DELETE FROM workers WHERE id = %(id)s
)
SELECT pg_notify('orchestrator_queue', ''), count(*) AS released FROM released
