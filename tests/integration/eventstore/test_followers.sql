-- name: listening
SELECT count(*)::int FROM pg_stat_activity
WHERE datname = current_database() AND query = 'LISTEN "orchestrator_events"'

-- name: tables
SELECT table_name FROM information_schema.tables WHERE table_schema = 'reporting' ORDER BY table_name

-- name: drop
DROP OWNED BY {role} CASCADE;
DROP ROLE {role}
