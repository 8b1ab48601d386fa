-- name: schema
CREATE INDEX IF NOT EXISTS mine_by_status ON mine (tenant, status);
CREATE OR REPLACE VIEW mine_sum AS SELECT tenant, sum(n) AS n FROM mine GROUP BY tenant

-- name: rows
SELECT tenant, run_id::text, status, n, said FROM orchestrator.mine ORDER BY n

-- name: spoil
UPDATE orchestrator.mine SET n = -1 WHERE n = 1;
DELETE FROM orchestrator.mine WHERE n = 2

-- name: view
SELECT n::int FROM orchestrator.mine_sum

-- name: indexes
SELECT indexname FROM pg_indexes WHERE schemaname = 'orchestrator' AND tablename = 'mine' ORDER BY 1

-- name: extra
SELECT extra FROM orchestrator.mine

-- name: comment
SELECT obj_description('orchestrator.mine'::regclass, 'pg_class')

-- name: stray
SELECT count(*) FROM orchestrator.mine AS m
WHERE NOT EXISTS (SELECT FROM orchestrator.runs AS r WHERE r.run_id = m.run_id)
