-- name: in_log
SELECT DISTINCT originator_id::text AS id FROM orchestrator.events

-- name: completed_at
SELECT completed_at FROM orchestrator.runs WHERE run_id = %(run_id)s

-- name: queued
SELECT count(*) AS runs FROM orchestrator.run_queue

-- name: begin_rebuild
SELECT pg_advisory_lock(715002, hashtext('run_steps'))

-- name: end_rebuild
SELECT pg_advisory_unlock(715002, hashtext('run_steps'))

-- name: delete_one
DELETE FROM orchestrator.events WHERE originator_id = %(run_id)s

-- name: delete_all
DELETE FROM orchestrator.events

-- name: truncate
TRUNCATE orchestrator.events

-- name: change_tombstone
UPDATE orchestrator.archived_runs SET digests = ''

-- name: delete_tombstone
DELETE FROM orchestrator.archived_runs

-- name: change_record
UPDATE orchestrator.archives SET sha256 = ''

-- name: bury_like
INSERT INTO orchestrator.archived_runs
SELECT %(run_id)s, tenant, workflow_name, workflow_version, status, created_at, completed_at, request, steps,
    first_position, last_position, positions, digests, archive
FROM orchestrator.archived_runs WHERE run_id = %(like)s
