-- name: tables
SELECT format('%I.%I', table_schema, table_name)
FROM information_schema.tables
WHERE table_schema = 'orchestrator' AND table_type = 'BASE TABLE'
