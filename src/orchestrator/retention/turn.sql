-- name: take
SELECT pg_try_advisory_lock(715004) AS locked

-- name: give_back
SELECT pg_advisory_unlock(715004)
