-- name: shape
SELECT 'index' AS what, indexname AS name, indexdef AS said FROM pg_indexes
WHERE schemaname = 'orchestrator' AND tablename IN ('runs', 'run_steps', 'artifacts')
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid IN ('orchestrator.runs'::regclass, 'orchestrator.run_steps'::regclass, 'orchestrator.artifacts'::regclass)
UNION ALL
SELECT 'options', relname, concat(reloptions::text, ' ', relacl::text) FROM pg_class
WHERE oid IN ('orchestrator.runs'::regclass, 'orchestrator.run_steps'::regclass, 'orchestrator.artifacts'::regclass)
UNION ALL
SELECT 'schema', nspname, '' FROM pg_namespace WHERE nspname LIKE 'rebuild%'
ORDER BY 1, 2

-- name: grant
GRANT SELECT ON orchestrator.runs TO PUBLIC

-- name: forget_run
DELETE FROM orchestrator.runs WHERE run_id = (SELECT run_id FROM orchestrator.runs ORDER BY first_position LIMIT 1)

-- name: add_run
INSERT INTO orchestrator.runs
SELECT (jsonb_populate_record(r, '{"run_id": "00000000-0000-0000-0000-000000000001"}')).*
FROM orchestrator.runs AS r ORDER BY first_position LIMIT 1

-- name: alter_run
UPDATE orchestrator.runs SET status = 'lost', labels = '{"a": "b"}'
WHERE run_id = (SELECT run_id FROM orchestrator.runs WHERE status = 'completed' ORDER BY first_position DESC LIMIT 1)

-- name: owners
SELECT owner FROM orchestrator.runs WHERE owner IS NOT NULL

-- name: skips
SELECT name, position, error, skipped_by FROM orchestrator.projection_skips

-- name: damage
DO $$ BEGIN
    SET LOCAL session_replication_role = replica;
    UPDATE orchestrator.events SET state = 'no longer JSON'
    WHERE notification_id = (SELECT max(notification_id) FROM orchestrator.events);
END $$

-- name: skip_damage
INSERT INTO orchestrator.projection_skips (name, position, error, skipped_by)
SELECT 'run_steps', max(notification_id), 'damaged', 'test' FROM orchestrator.events
