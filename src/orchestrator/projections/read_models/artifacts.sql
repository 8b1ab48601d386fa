-- name: upsert
-- The maker of an artifact is the step that made it first, in whatever order the rows arrive.
INSERT INTO artifacts AS a
SELECT DISTINCT ON (tenant, id) * FROM json_to_recordset($1) AS n (
    tenant text, id uuid, type text, uri text, content_hash text, size_bytes bigint, filename text,
    metadata json, run_id uuid, step_id text, created_at bigint)
ORDER BY tenant, id, created_at, run_id, step_id, filename
ON CONFLICT (tenant, id) DO UPDATE SET
    type = excluded.type, uri = excluded.uri, content_hash = excluded.content_hash,
    size_bytes = excluded.size_bytes, filename = excluded.filename, metadata = excluded.metadata,
    run_id = excluded.run_id, step_id = excluded.step_id, created_at = excluded.created_at
WHERE (excluded.created_at, excluded.run_id, excluded.step_id) < (a.created_at, a.run_id, a.step_id)

-- name: settle
DELETE FROM artifacts AS a
USING (
    SELECT ctid AS place,
           row_number() OVER (PARTITION BY tenant, id ORDER BY created_at, run_id, step_id, filename) AS number
    FROM artifacts
) AS ranked
WHERE ranked.number > 1 AND a.ctid = ranked.place
