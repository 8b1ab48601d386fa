-- name: sleep
SELECT pg_sleep(5)

-- name: application
SELECT current_setting('application_name') AS name

-- name: one
SELECT 1 AS one

-- name: terminate_others
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'


-- name: terminate
SELECT pg_terminate_backend(%s, 10000)
