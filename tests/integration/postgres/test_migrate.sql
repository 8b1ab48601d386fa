-- name: table_one
CREATE TABLE orchestrator.one (id int PRIMARY KEY)

-- name: table_two
CREATE TABLE orchestrator.two (id int PRIMARY KEY)

-- name: alter_one
ALTER TABLE orchestrator.one ADD COLUMN name text

-- name: view_of_one
CREATE VIEW orchestrator.names AS SELECT name FROM orchestrator.one

-- name: pause
SELECT pg_sleep(0.1)

-- name: tables
SELECT tablename FROM pg_tables WHERE schemaname = 'orchestrator' AND tablename <> 'migrations' ORDER BY 1

-- name: make_reader
CREATE ROLE migration_reader LOGIN;
GRANT USAGE ON SCHEMA orchestrator TO migration_reader;
GRANT SELECT ON orchestrator.migrations TO migration_reader;

-- name: drop_reader
DROP OWNED BY migration_reader;
DROP ROLE migration_reader;

-- name: forget_everything
DROP TABLE orchestrator.migrations

-- name: hold_one
SELECT * FROM orchestrator.one

-- name: read_one
SELECT count(*) FROM orchestrator.one
