-- name: anything
SELECT 1

-- name: session_settings
SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT IN ('application_name') ORDER BY name

-- name: prepared
SELECT name FROM pg_prepared_statements

-- name: lock
SELECT pg_try_advisory_lock(4711) AS locked

-- name: no_default
DO $$ BEGIN EXECUTE format('ALTER ROLE orchestrator IN DATABASE %I SET search_path = public', current_database()); END $$
