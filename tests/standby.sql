-- name: is_following
SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')

-- name: is_synchronous
SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))

-- name: wait_for_standby
ALTER SYSTEM SET synchronous_standby_names = '*'

-- name: reload
SELECT pg_reload_conf()
