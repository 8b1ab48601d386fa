-- name: drop_database
DROP DATABASE IF EXISTS {} WITH (FORCE)

-- name: create_database
CREATE DATABASE {}

-- name: checkpoint
CHECKPOINT

-- name: set_delay
ALTER SYSTEM SET commit_delay = 2000

-- name: set_siblings
ALTER SYSTEM SET commit_siblings = 0

-- name: reset_delay
ALTER SYSTEM RESET commit_delay

-- name: reset_siblings
ALTER SYSTEM RESET commit_siblings

-- name: reload
SELECT pg_reload_conf()

-- name: counters
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS transactions,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes
