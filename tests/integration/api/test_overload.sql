-- name: hold_appends
SELECT pg_advisory_xact_lock(715001)
