-- What tells sessions, databases and roles apart behind a pooler.

-- name: session
SELECT pg_backend_pid()

-- name: identity
-- A replica has the identity of its primary.
SELECT (SELECT system_identifier FROM pg_control_system()), oid FROM pg_database WHERE datname = current_database()

-- name: search_path
SELECT coalesce((current_schemas(false))[1] = 'orchestrator', false),
       format('ALTER ROLE %I IN DATABASE %I SET search_path = orchestrator', current_user, current_database())
