-- name: contents
SELECT tenant, key, run_id, step_id, workflow, skill, scope, output::text, output_hash, size_bytes, stored_at
FROM orchestrator.step_cache ORDER BY tenant, key, run_id

-- name: delete_oldest
DELETE FROM orchestrator.step_cache
WHERE (tenant, key, run_id) = (
    SELECT tenant, key, run_id FROM orchestrator.step_cache ORDER BY stored_at, key, run_id LIMIT 1)

-- name: alter_newest
UPDATE orchestrator.step_cache SET output = '{"data": "altered"}'
WHERE (tenant, key, run_id) = (
    SELECT tenant, key, run_id FROM orchestrator.step_cache ORDER BY stored_at DESC, key, run_id LIMIT 1)

-- name: add_alien
INSERT INTO orchestrator.step_cache
VALUES ('one', 'alien', '00000000-0000-0000-0000-000000000001', 'a', 'w1', 'test.s@1', 'global', '{}', 'h', 2, 1)

-- name: forget
TRUNCATE orchestrator.step_cache
