-- name: upsert
INSERT INTO run_steps AS s
SELECT * FROM json_to_recordset($1) AS n (
    run_id uuid, step_id text, tenant text, skill text, status text, attempt integer, past json, worker text,
    input_hash text, cache_key text, hit text, miss text, source_run uuid, output json, output_hash text, artifacts integer, error json,
    due_at bigint, started_at bigint, ended_at bigint, duration_ms double precision, because text)
ON CONFLICT (run_id, step_id) DO UPDATE SET
    skill = excluded.skill, status = excluded.status, attempt = excluded.attempt, past = excluded.past,
    worker = excluded.worker, input_hash = excluded.input_hash, cache_key = excluded.cache_key,
    hit = excluded.hit, miss = excluded.miss, source_run = excluded.source_run, output = excluded.output,
    output_hash = excluded.output_hash, artifacts = excluded.artifacts, error = excluded.error, due_at = excluded.due_at,
    started_at = excluded.started_at, ended_at = excluded.ended_at, duration_ms = excluded.duration_ms,
    because = excluded.because
