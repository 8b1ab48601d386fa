-- name: statements
-- Transactions of the database that are over, one for each statement outside of an explicit one. The count is
-- written when a session is idle for a while, at most once a second.
SELECT xact_commit + xact_rollback AS transactions FROM pg_stat_database WHERE datname = current_database()
