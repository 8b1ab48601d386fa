-- name: double
SELECT 2 * $1

-- name: slow
SELECT $1 FROM pg_sleep(0.01)

-- name: length
SELECT sum(length(one))::bigint FROM unnest($1) AS one

-- name: faulty
SELECT (5 / $1)::bigint

-- name: who
SELECT pg_backend_pid()::bigint

-- name: end
SELECT $1 FROM pg_sleep(0.01), pg_terminate_backend(pg_backend_pid())

-- name: terminate
SELECT pg_terminate_backend(%(pid)s, 5000)
