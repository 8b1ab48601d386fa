-- name: turn_read_only
ALTER DATABASE {name} SET default_transaction_read_only = on

-- name: turn_writable
ALTER DATABASE {name} RESET default_transaction_read_only

-- name: refuse_connections
ALTER DATABASE {name} ALLOW_CONNECTIONS false

-- name: allow_connections
ALTER DATABASE {name} ALLOW_CONNECTIONS true

-- name: terminate
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %(name)s

-- name: terminate_writers
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = %(name)s AND query LIKE '%%append_events%%'
