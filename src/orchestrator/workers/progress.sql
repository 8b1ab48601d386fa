-- name: write
-- The latest report of a step replaces the earlier one; rows of finished runs are deleted.
WITH over AS (
    DELETE FROM step_progress AS p WHERE NOT EXISTS (SELECT FROM run_queue AS q WHERE q.run_id = p.run_id)
)
INSERT INTO step_progress (run_id, step_id, attempt, fraction, message)
SELECT word.* FROM unnest(
    %(run_ids)s::uuid[], %(steps)s::text[], %(attempts)s::integer[], %(fractions)s::real[], %(messages)s::text[]) AS word
-- progress need not survive a server crash
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS durability (setting)
ON CONFLICT (run_id, step_id) DO UPDATE SET
    attempt = excluded.attempt, fraction = excluded.fraction, message = excluded.message

-- name: notify
SELECT pg_notify('orchestrator_progress', '')
