-- name: dump
SELECT 'runs' AS model, to_jsonb(r)::text AS content FROM orchestrator.runs AS r
UNION ALL
SELECT 'run_steps', to_jsonb(s)::text FROM orchestrator.run_steps AS s
UNION ALL
SELECT 'artifacts', to_jsonb(a)::text FROM orchestrator.artifacts AS a
UNION ALL
SELECT 'step_cache', to_jsonb(c)::text FROM orchestrator.step_cache AS c
UNION ALL
SELECT 'workflows', w.definition::text || to_jsonb(w)::text FROM orchestrator.workflows AS w
UNION ALL
SELECT 'run_queue', (to_jsonb(q) - 'number' - 'owner' - 'blocked_on')::text FROM orchestrator.run_queue AS q
UNION ALL
SELECT 'events', to_jsonb(e)::text FROM orchestrator.events AS e
UNION ALL
SELECT 'chain', to_jsonb(g)::text FROM orchestrator.chain_segments AS g
UNION ALL
SELECT 'projections', p.name || ' ' || p.version || ' ' || p.position FROM orchestrator.projections AS p
ORDER BY 1, 2

-- name: forget_the_end
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL;
DELETE FROM orchestrator.events WHERE notification_id > 20

-- name: others
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL;
UPDATE orchestrator.events SET topic = 'StepRetried' WHERE notification_id = 20
