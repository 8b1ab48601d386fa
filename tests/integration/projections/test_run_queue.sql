-- name: queue
SELECT run_id::text, tenant, priority, blocked_on FROM orchestrator.run_queue ORDER BY number

-- name: claim
UPDATE orchestrator.run_queue SET owner = 'w', blocked_on = NULL WHERE run_id = %(run_id)s::uuid

-- name: forget
DELETE FROM orchestrator.run_queue WHERE run_id = %(run_id)s::uuid

-- name: forget_all
DELETE FROM orchestrator.run_queue

-- name: alter
UPDATE orchestrator.run_queue SET priority = 7, blocked_on = '{nobody}' WHERE run_id = %(run_id)s::uuid

-- name: add_foreign
INSERT INTO orchestrator.run_queue (run_id, tenant) VALUES ('00000000-0000-0000-0000-000000000001', 'default')
