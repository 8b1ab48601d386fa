-- name: beat
INSERT INTO workers (id, host, pid, pulse, lease)
VALUES ($1, $2, $3, $4, make_interval(secs => $5))
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()
RETURNING
    (SELECT EXISTS (SELECT FROM run_queue WHERE owner <> $1)) AS others_at_work,
    (SELECT count(*) FROM run_queue WHERE owner = $1) AS owned,
    (SELECT EXISTS (
        SELECT FROM run_queue WHERE owner IS NULL AND format <= $7 AND (blocked_on IS NULL OR blocked_on <@ $6))) AS waiting

-- name: keep_lease
UPDATE workers SET heartbeat_at = now() WHERE id = %(id)s

-- name: neighbours
SELECT id, pulse FROM workers WHERE id <> %(id)s AND pulse IS NOT NULL

-- name: sweep
WITH ended AS (
    DELETE FROM workers WHERE id = ANY(%(ended)s::text[]) RETURNING id
), dead AS (
    SELECT id FROM workers AS worker WHERE id <> %(id)s AND is_dead(worker)
    UNION
    SELECT id FROM ended
), lost AS (
    SELECT q.run_id, q.owner, got_on(q.run_id, q.lost_version) AS got_on,
        (SELECT max(e.originator_version) FROM events AS e WHERE e.originator_id = q.run_id) AS version
    FROM run_queue AS q
    WHERE q.owner IN (SELECT id FROM dead)
       OR (q.owner <> %(id)s AND NOT EXISTS (SELECT FROM workers WHERE workers.id = q.owner))
    FOR UPDATE OF q SKIP LOCKED  -- the next sweep frees a row that is locked now
), freed AS (
    UPDATE run_queue AS q SET
        owner = NULL,
        losses = CASE WHEN lost.got_on THEN 1 ELSE q.losses + 1 END,
        lost_version = coalesce(lost.version, 0)
    FROM lost
    WHERE q.run_id = lost.run_id AND q.owner = lost.owner  -- another worker may have swept it already
    RETURNING q.run_id
), forgotten AS (
    DELETE FROM workers AS worker USING dead
    WHERE worker.id = dead.id AND worker.heartbeat_at < now() - interval '1 hour'
)
SELECT count(*) AS freed FROM freed

-- name: claim
-- A run that lost several workers without making progress may be the cause. A worker claims one suspect run at a
-- time, and the next when that run made progress or a minute has passed, so that one crash does not count against other
-- suspects.
WITH picked AS (
    SELECT run_id FROM run_queue
    WHERE owner IS NULL AND format <= %(format)s AND losses < 3 AND (blocked_on IS NULL OR blocked_on <@ %(skills)s::text[])
    ORDER BY priority DESC, number
    LIMIT %(room)s
    FOR UPDATE SKIP LOCKED
), suspect AS (
    SELECT run_id FROM run_queue
    WHERE owner IS NULL AND format <= %(format)s AND losses >= 3 AND (blocked_on IS NULL OR blocked_on <@ %(skills)s::text[])
      AND NOT EXISTS (
        SELECT FROM run_queue AS own
        WHERE own.owner = %(id)s AND own.losses >= 3 AND own.claimed_at > now() - interval '1 minute'
          AND NOT got_on(own.run_id, own.lost_version))
    ORDER BY losses, priority DESC, number
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE run_queue AS q SET owner = %(id)s, blocked_on = NULL, claimed_at = now()
    FROM (SELECT run_id FROM picked UNION ALL SELECT run_id FROM suspect) AS chosen
    WHERE q.run_id = chosen.run_id
    RETURNING q.run_id, q.losses
)
SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id, claimed.losses
FROM claimed
JOIN events AS e ON e.originator_id = claimed.run_id
-- a claim need not be durable
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS durability
ORDER BY e.originator_id, e.originator_version

-- name: owners
SELECT run_id, owner FROM run_queue WHERE owner = %(id)s OR run_id = ANY(%(run_ids)s::uuid[])

-- name: leave
-- A newer release wrote events to these runs that this one cannot read. Raise their format, so that they are
-- not claimed by it again.
WITH left_alone AS (
    UPDATE run_queue SET owner = NULL, format = greatest(format, %(format)s::integer)
    WHERE owner = %(id)s AND run_id = ANY(%(run_ids)s::uuid[])
    RETURNING run_id
)
SELECT pg_notify('orchestrator_queue', '') FROM left_alone LIMIT 1

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
