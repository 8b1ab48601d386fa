-- name: make
CREATE TABLE numbers (number bigint PRIMARY KEY)

-- name: put
INSERT INTO numbers VALUES ($1)

-- name: count
SELECT count(*) FROM numbers

-- name: backend
SELECT pg_backend_pid()::bigint

-- name: prepared
SELECT count(*) FROM pg_prepared_statements

-- name: cut
SELECT pg_terminate_backend(%s, 5000)
