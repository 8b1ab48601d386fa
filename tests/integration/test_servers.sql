-- name: count_migrations
SELECT count(*) FROM orchestrator.migrations

-- name: make_table
CREATE TABLE orchestrator.only_here (id int)
