-- name: upsert
INSERT INTO runs AS r
SELECT * FROM json_to_recordset($1) AS n (
    run_id uuid, tenant text, workflow_name text, workflow_version text, trigger_type text, status text,
    priority integer, labels jsonb, payload json, base_run_id uuid, change json, impacted json, reused json,
    missing_skills json, error json, failed_step text, owner text, created_at bigint, started_at bigint,
    completed_at bigint, updated_at bigint, stream_version bigint, first_position bigint, position bigint,
    omitted_steps json)
ON CONFLICT (run_id) DO UPDATE SET
    status = excluded.status, missing_skills = excluded.missing_skills, error = excluded.error,
    failed_step = excluded.failed_step, owner = excluded.owner, started_at = excluded.started_at,
    completed_at = excluded.completed_at, updated_at = excluded.updated_at,
    stream_version = excluded.stream_version, position = excluded.position
