-- name: write_all_the_same
SET default_transaction_read_only = off

-- name: turn_read_only
ALTER SYSTEM SET default_transaction_read_only = on

-- name: turn_writable
ALTER SYSTEM RESET default_transaction_read_only

-- name: reload
SELECT pg_reload_conf()

-- name: terminate_all
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()

-- name: terminate_some
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid % 3 = 0

-- name: terminate_one
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    ORDER BY random() LIMIT 1
) AS chosen
