-- name: chunks
SELECT run_id::text AS run_id, number, step_id, attempt, lines, size_bytes, content_hash, uri, first_at
FROM step_logs
WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s AND number >= %(number)s
  AND (%(step_id)s::text IS NULL OR step_id = %(step_id)s)
  AND (%(attempt)s::integer IS NULL OR attempt = %(attempt)s)
ORDER BY number
LIMIT %(limit)s

-- name: cut
SELECT coalesce(sum(newest.cut), 0)::bigint AS cut
FROM (
    SELECT DISTINCT ON (step_id, attempt) cut
    FROM step_logs
    WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s
      AND (%(step_id)s::text IS NULL OR step_id = %(step_id)s)
      AND (%(attempt)s::integer IS NULL OR attempt = %(attempt)s)
    ORDER BY step_id, attempt, part DESC
) AS newest

-- name: state
-- Whether no more lines begin: the run, the step or the attempt is over. And whether its run was over some seconds ago,
-- so that its last lines are stored.
SELECT ended.is_run OR EXISTS (
        SELECT FROM run_steps
        WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s AND step_id = %(step_id)s
          AND (status IN ('completed', 'skipped', 'omitted', 'failed', 'cancelled') OR attempt > %(attempt)s)
    ) AS is_over,
    ended.is_run AND EXISTS (
        SELECT FROM runs
        WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s
          AND completed_at < extract(epoch FROM now()) * 1000 - %(settle_ms)s
    ) AS is_settled
FROM (
    SELECT NOT EXISTS (SELECT FROM run_queue WHERE run_id = %(run_id)s::uuid AND tenant = %(tenant)s) AS is_run
) AS ended
