-- name: is_following
SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')

-- name: is_primary
SELECT NOT pg_is_in_recovery()

-- name: wait_for_standby
ALTER SYSTEM SET synchronous_standby_names = '*'

-- name: reload
SELECT pg_reload_conf()
