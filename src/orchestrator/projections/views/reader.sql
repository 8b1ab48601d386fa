-- name: runs
SELECT r.*, c.*
FROM runs AS r
CROSS JOIN LATERAL (
    SELECT count(*) AS touched,
           count(*) FILTER (WHERE s.status = 'pending') AS pending,
           count(*) FILTER (WHERE s.status = 'running') AS running,
           count(*) FILTER (WHERE s.status = 'completed') AS completed,
           count(*) FILTER (WHERE s.status = 'skipped') AS skipped,
           count(*) FILTER (WHERE s.status = 'omitted') AS omitted,
           count(*) FILTER (WHERE s.status = 'failed') AS failed,
           count(*) FILTER (WHERE s.status = 'cancelled') AS cancelled
    FROM run_steps AS s WHERE s.run_id = r.run_id
) AS c
WHERE r.run_id = ANY(%(run_ids)s::uuid[]) AND r.tenant = %(tenant)s

-- name: steps
SELECT s.*, p.fraction, p.message
FROM run_steps AS s
LEFT JOIN step_progress AS p
  ON s.status = 'running' AND p.run_id = s.run_id AND p.step_id = s.step_id AND p.attempt = s.attempt
WHERE s.run_id = %(run_id)s::uuid AND s.tenant = %(tenant)s

-- name: progress
SELECT run_id::text AS run_id, step_id, attempt, fraction, message
FROM step_progress WHERE run_id = ANY(%(run_ids)s::uuid[])
ORDER BY run_id, step_id

-- name: steps_named
SELECT * FROM run_steps
WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s AND step_id = ANY(%(steps)s)

-- name: steps_brief
-- Without results and past attempts, which are large.
SELECT s.run_id, s.step_id, s.tenant, s.skill, s.status, s.attempt, '[]'::json AS past, s.worker, s.input_hash,
    s.cache_key, s.hit, s.miss, s.source_run, NULL::json AS output, s.output_hash, s.artifacts, s.error, s.due_at,
    s.started_at, s.ended_at, s.duration_ms, s.because, p.fraction, p.message
FROM run_steps AS s
LEFT JOIN step_progress AS p
  ON s.status = 'running' AND p.run_id = s.run_id AND p.step_id = s.step_id AND p.attempt = s.attempt
WHERE s.run_id = %(run_id)s::uuid AND s.tenant = %(tenant)s AND (%(steps)s::text[] IS NULL OR s.step_id = ANY(%(steps)s))

-- name: steps_in_full
SELECT s.*, p.fraction, p.message
FROM run_steps AS s
LEFT JOIN step_progress AS p
  ON s.status = 'running' AND p.run_id = s.run_id AND p.step_id = s.step_id AND p.attempt = s.attempt
WHERE s.run_id = %(run_id)s::uuid AND s.tenant = %(tenant)s AND s.step_id = ANY(%(steps)s)

-- name: outputs
SELECT step_id, output FROM run_steps
WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s AND step_id = ANY(%(steps)s) AND output IS NOT NULL

-- name: without_result
SELECT step_id, status FROM run_steps
WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s AND status IN ('omitted', 'failed')

-- name: earlier
-- A skipped step names the run that made its result; take the skill from that run.
SELECT s.run_id::text AS run_id, s.step_id, coalesce(made.skill, s.skill) AS skill, s.input_hash,
    s.source_run::text AS source_run, s.output
FROM run_steps AS s
JOIN unnest(%(run_ids)s::uuid[], %(steps)s::text[]) AS wanted (run_id, step_id)
  ON s.run_id = wanted.run_id AND s.step_id = wanted.step_id
LEFT JOIN run_steps AS made
  ON made.run_id = s.source_run AND made.step_id = s.step_id AND made.tenant = s.tenant
WHERE s.tenant = %(tenant)s AND s.output IS NOT NULL

-- name: durations
SELECT s.step_id, coalesce(made.duration_ms, s.duration_ms) AS duration_ms
FROM run_steps AS s
JOIN unnest(%(run_ids)s::uuid[], %(steps)s::text[]) AS wanted (run_id, step_id)
  ON s.run_id = wanted.run_id AND s.step_id = wanted.step_id
LEFT JOIN run_steps AS made
  ON made.run_id = s.source_run AND made.step_id = s.step_id AND made.tenant = s.tenant
WHERE s.tenant = %(tenant)s AND coalesce(made.duration_ms, s.duration_ms) IS NOT NULL

-- name: with_artifacts
SELECT run_id::text AS run_id, step_id, output
FROM run_steps
WHERE run_id = ANY(%(run_ids)s::uuid[]) AND tenant = %(tenant)s AND artifacts > 0
LIMIT %(limit)s

-- name: artifact
SELECT * FROM artifacts WHERE tenant = %(tenant)s AND id = %(id)s::uuid

-- name: position
SELECT coalesce(min(position), 0) AS position FROM projections
WHERE state = 'live' AND name = ANY(%(names)s)

-- name: touched_since
-- The given runs that have events after a position, and the last position of the log.
SELECT newest.position, touched.run_id
FROM (SELECT coalesce(max(notification_id), 0) AS position FROM events) AS newest
LEFT JOIN LATERAL (
    SELECT DISTINCT originator_id::text AS run_id FROM events
    WHERE notification_id > %(after)s AND originator_id = ANY(%(run_ids)s::uuid[])
) AS touched ON true

-- name: queues
SELECT count(*) FILTER (WHERE owner IS NULL AND blocked_on IS NULL) AS queued,
       count(*) FILTER (WHERE owner IS NOT NULL) AS running,
       count(*) FILTER (WHERE owner IS NULL AND blocked_on IS NOT NULL) AS blocked,
       (SELECT count(*) FROM workers AS worker WHERE NOT is_dead(worker)) AS workers
FROM run_queue

-- name: only_reads
SELECT current_setting('transaction_read_only') = 'on' AS only_reads
