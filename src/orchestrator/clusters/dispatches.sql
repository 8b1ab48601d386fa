-- name: put
WITH put AS (
    INSERT INTO dispatches (tenant, name, executor, fence, run_id, step_id, attempt, skill, requires, work)
    VALUES (%(tenant)s, %(name)s, %(executor)s, %(fence)s, %(run_id)s, %(step_id)s, %(attempt)s, %(skill)s,
        %(requires)s, %(work)s)
    ON CONFLICT DO NOTHING
    RETURNING executor
)
SELECT pg_notify('orchestrator_dispatches', 'work:' || executor) FROM put

-- name: drop
DELETE FROM dispatches WHERE tenant = %(tenant)s AND name = ANY(%(names)s::text[])

-- name: drop_stray
-- The run of a row ended while nobody was there to remove the row.
DELETE FROM dispatches AS d WHERE NOT EXISTS (SELECT FROM run_queue AS q WHERE q.run_id = d.run_id)

-- name: states
SELECT d.tenant, d.name, d.fence, d.record,
    d.worker IS NOT NULL AND d.beat_at < now() - make_interval(secs => %(lease)s) AS silent,
    d.worker IS NULL AND d.work IS NOT NULL AND d.created_at < now() - make_interval(secs => %(lease)s)
        AND NOT EXISTS (
            SELECT FROM pull_workers AS w
            WHERE w.tenant = d.tenant AND w.pool = d.executor AND d.requires <@ w.labels AND d.skill = ANY(w.skills)
              AND w.seen_at > now() - make_interval(secs => %(lease)s)) AS unwanted
FROM dispatches AS d
JOIN unnest(%(tenants)s::text[], %(names)s::text[]) AS asked (tenant, name)
    ON d.tenant = asked.tenant AND d.name = asked.name

-- name: lose
-- Only if nothing was heard in the meantime; from then on the machine that has the attempt can neither beat nor report.
DELETE FROM dispatches
WHERE tenant = %(tenant)s AND name = %(name)s AND record IS NULL
  AND coalesce(beat_at, created_at) < now() - make_interval(secs => %(lease)s)
RETURNING name

-- name: fitting
SELECT skill
FROM pull_workers AS w, unnest(w.skills) AS skill
WHERE w.tenant = %(tenant)s AND w.pool = %(pool)s AND w.seen_at > now() - make_interval(secs => %(lease)s)
  AND %(requires)s::text[] <@ w.labels AND starts_with(skill, %(skill_id)s || '@')
ORDER BY w.seen_at DESC
LIMIT 1

-- name: labels
SELECT DISTINCT label
FROM pull_workers AS w, unnest(w.labels) AS label
WHERE w.tenant = %(tenant)s AND w.pool = %(pool)s AND w.seen_at > now() - make_interval(secs => %(lease)s)

-- name: see
-- Whether the worker came only lately: then runs that are blocked on its pool may go on.
WITH gone AS (
    DELETE FROM pull_workers WHERE tenant = %(tenant)s AND seen_at < now() - interval '1 hour' AND id <> %(worker)s
)
INSERT INTO pull_workers AS w (tenant, pool, id, labels, skills)
VALUES (%(tenant)s, %(pool)s, %(worker)s, %(labels)s, %(skills)s)
ON CONFLICT (tenant, pool, id) DO UPDATE SET
    labels = excluded.labels, skills = excluded.skills, seen_at = now(),
    since = CASE
        WHEN w.labels = excluded.labels AND w.skills = excluded.skills
            AND w.seen_at > now() - make_interval(secs => %(lease)s) THEN w.since
        ELSE now() END
RETURNING since > now() - make_interval(secs => %(lease)s) AS is_new

-- name: unblock
WITH freed AS (
    UPDATE run_queue SET blocked_on = NULL
    WHERE tenant = %(tenant)s AND owner IS NULL AND EXISTS (
        SELECT FROM unnest(blocked_on) AS lacking WHERE starts_with(lacking, %(prefix)s))
    RETURNING run_id
)
SELECT pg_notify('orchestrator_queue', '') FROM freed LIMIT 1

-- name: take
UPDATE dispatches AS d SET worker = %(worker)s, beat_at = now()
WHERE (d.tenant, d.name) IN (
    SELECT w.tenant, w.name FROM dispatches AS w
    WHERE w.tenant = %(tenant)s AND w.executor = %(pool)s AND w.worker IS NULL AND w.work IS NOT NULL
      AND NOT w.cancelled AND w.requires <@ %(labels)s::text[] AND w.skill = ANY(%(skills)s::text[])
      AND EXISTS (SELECT FROM run_queue AS q WHERE q.run_id = w.run_id)
    ORDER BY w.created_at
    LIMIT %(slots)s
    FOR UPDATE SKIP LOCKED)
RETURNING d.work

-- name: beat
WITH beaten AS (
    UPDATE dispatches SET beat_at = now()
    WHERE tenant = %(tenant)s AND name = %(name)s AND fence = %(fence)s AND record IS NULL
      AND executor = coalesce(%(pool)s, executor)
    RETURNING tenant, executor, worker, run_id, cancelled
), seen AS (
    UPDATE pull_workers AS w SET seen_at = now() FROM beaten AS b
    WHERE w.tenant = b.tenant AND w.pool = b.executor AND w.id = b.worker
)
SELECT b.cancelled OR NOT EXISTS (SELECT FROM run_queue AS q WHERE q.run_id = b.run_id) AS cancelled FROM beaten AS b

-- name: abandon
-- The attempt counts as silent from now on, so that its owner gives it up at once.
WITH left_off AS (
    UPDATE dispatches SET beat_at = '-infinity'
    WHERE tenant = %(tenant)s AND name = %(name)s AND fence = %(fence)s AND record IS NULL
      AND executor = coalesce(%(pool)s, executor)
    RETURNING name
)
SELECT pg_notify('orchestrator_dispatches', 'ended:' || name) FROM left_off

-- name: record
WITH recorded AS (
    UPDATE dispatches SET record = %(record)s
    WHERE tenant = %(tenant)s AND name = %(name)s AND fence = %(fence)s AND record IS NULL
      AND executor = coalesce(%(pool)s, executor)
    RETURNING name
)
SELECT pg_notify('orchestrator_dispatches', 'ended:' || name) FROM recorded

-- name: recorded
SELECT record FROM dispatches
WHERE tenant = %(tenant)s AND name = %(name)s AND fence = %(fence)s AND executor = coalesce(%(pool)s, executor)

-- name: cancel
UPDATE dispatches SET cancelled = true WHERE tenant = %(tenant)s AND name = %(name)s RETURNING name
