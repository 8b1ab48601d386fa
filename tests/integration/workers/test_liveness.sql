-- name: create_role
CREATE ROLE {role} LOGIN

-- name: grant_schema
GRANT USAGE ON SCHEMA orchestrator TO {role}

-- name: grant_tables
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA orchestrator TO {role}

-- name: grant_functions
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA orchestrator TO {role}

-- name: grant_sequences
GRANT USAGE ON ALL SEQUENCES IN SCHEMA orchestrator TO {role}

-- name: drop_owned
DROP OWNED BY {role}

-- name: drop_role
DROP ROLE {role}

-- name: terminate_others
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'

-- name: turn_read_only
ALTER DATABASE {name} SET default_transaction_read_only = on

-- name: turn_writable
ALTER DATABASE {name} RESET default_transaction_read_only

-- name: writable_here
SET default_transaction_read_only = off

-- name: lease_left
SELECT extract(epoch FROM heartbeat_at + lease - now()) FROM orchestrator.workers

-- name: notify
SELECT pg_notify(%s, %s)

-- name: hold_heartbeats
SELECT id FROM orchestrator.workers FOR UPDATE

-- name: lock_workers
LOCK TABLE orchestrator.workers IN EXCLUSIVE MODE

-- name: orphan
UPDATE orchestrator.run_queue SET owner = 'nobody' WHERE run_id = %s

-- name: hold_run
SELECT run_id FROM orchestrator.run_queue WHERE run_id = %s FOR UPDATE
