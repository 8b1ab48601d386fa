-- name: tables
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')

-- name: rows
SELECT t::text FROM {table} AS t

-- name: deletions
SELECT run_id::text, reason, deleted_by FROM orchestrator.deletions

-- name: forget
DELETE FROM orchestrator.deletions
