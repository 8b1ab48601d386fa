-- name: dump
SELECT 'runs' AS model, to_jsonb(r)::text AS content FROM orchestrator.runs AS r
UNION ALL
SELECT 'run_steps', to_jsonb(s)::text FROM orchestrator.run_steps AS s
UNION ALL
SELECT 'artifacts', to_jsonb(a)::text FROM orchestrator.artifacts AS a
UNION ALL
SELECT 'events', to_jsonb(e)::text FROM orchestrator.events AS e
ORDER BY 1, 2

-- name: change
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL;
UPDATE orchestrator.events SET state = set_byte(state, 9, get_byte(state, 9) # 1) WHERE notification_id = 5
