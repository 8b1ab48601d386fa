-- name: count
SELECT count(*) AS count FROM runs

-- name: damage_run_steps
DELETE FROM orchestrator.run_steps WHERE step_id = 'generate_bgm_track'

-- name: damage_runs
DELETE FROM orchestrator.runs WHERE position % 7 = 0
