-- name: bury_without_a_record
INSERT INTO orchestrator.archived_runs
SELECT gen_random_uuid(), tenant, workflow_name, workflow_version, status, created_at, completed_at, request, steps,
    first_position, last_position, positions, digests, NULL
FROM orchestrator.archived_runs
