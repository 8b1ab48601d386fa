-- name: alter
UPDATE orchestrator.runs SET status = 'lost'
WHERE run_id = (SELECT run_id FROM orchestrator.runs WHERE status = 'completed' LIMIT 1)

-- name: unqueue
DELETE FROM orchestrator.run_queue WHERE run_id = (SELECT run_id FROM orchestrator.run_queue LIMIT 1)

-- name: stop
UPDATE orchestrator.projections SET state = 'stopped', error = '{"position": 17, "error": "no good"}' WHERE name = 'runs'
