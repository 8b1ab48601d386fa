-- The database's own record of which migrations it has.

-- name: lock
SELECT pg_advisory_lock(715000)

-- name: unlock
SELECT pg_advisory_unlock(715000)

-- name: exists
SELECT to_regclass('orchestrator.migrations') IS NOT NULL

-- name: create
CREATE SCHEMA IF NOT EXISTS orchestrator;
CREATE TABLE orchestrator.migrations (
    name       text        PRIMARY KEY,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: applied
SELECT name, checksum FROM orchestrator.migrations ORDER BY name

-- name: record
INSERT INTO orchestrator.migrations (name, checksum) VALUES (%(name)s, %(checksum)s)
