-- name: write
INSERT INTO artifacts
SELECT * FROM json_to_recordset(%s::json) AS n (
    tenant text, id uuid, type text, uri text, content_hash text, size_bytes bigint, filename text,
    metadata json, run_id uuid, step_id text, created_at bigint)
ON CONFLICT (tenant, id) DO NOTHING
