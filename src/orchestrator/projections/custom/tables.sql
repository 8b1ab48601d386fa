-- name: find
SELECT n.name, c.oid IS NOT NULL AS "exists", obj_description(c.oid, 'pg_class') AS comment
FROM unnest(%(names)s::text[]) AS n (name)
LEFT JOIN pg_class AS c ON c.relname = n.name AND c.relnamespace = to_regnamespace('orchestrator')

-- name: lock
-- The lock that migrations use: processes that start at the same time create a table one after the other.
SELECT pg_advisory_xact_lock(715000)
