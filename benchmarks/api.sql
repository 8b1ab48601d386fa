-- name: runs
-- A million finished runs with every index, as the projector leaves them; positions lie behind those of real events.
INSERT INTO orchestrator.runs (
    run_id, tenant, workflow_name, workflow_version, trigger_type, status, priority, labels, payload, reused,
    missing_skills, created_at, started_at, completed_at, updated_at, stream_version, first_position, position)
SELECT uuidv7(), 'default', 'bench.one', '1.0.0', 'initial',
    CASE mod(n, 50) WHEN 0 THEN 'failed' ELSE 'completed' END, 0,
    CASE mod(n, 10) WHEN 0 THEN jsonb_build_object('team', 'team-' || mod(n, 1000)) ELSE '{}'::jsonb END,
    '{"seed": 1}', '[]', '[]', 1700000000000 + n, 1700000000000 + n, 1700000000010 + n, 1700000000010 + n, 5,
    1000000000 + n, 1000000000 + n
FROM generate_series(1, %(runs)s) AS n

-- name: steps
INSERT INTO orchestrator.run_steps (
    run_id, step_id, tenant, skill, status, attempt, past, input_hash, cache_key, output, artifacts, duration_ms)
SELECT r.run_id, 'only', 'default', 'bench.noop@1', 'completed', 1, '[]', 'hash', 'key', '{"data": {}}', 0, 1.0
FROM orchestrator.runs AS r WHERE r.first_position > 1000000000

-- name: settle
VACUUM ANALYZE orchestrator.runs, orchestrator.run_steps
