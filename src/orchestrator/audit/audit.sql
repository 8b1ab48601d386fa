-- name: artifacts
SELECT tenant, id::text AS id, type, uri, content_hash, size_bytes, filename, metadata, run_id::text AS run_id, step_id
FROM artifacts
WHERE (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s::uuid)
  AND (%(since)s::bigint IS NULL OR created_at >= %(since)s::bigint)
  AND (tenant, id) > (%(tenant)s, %(id)s::uuid)
ORDER BY tenant, id
LIMIT %(limit)s

-- name: large_data
SELECT run_id::text AS run_id, step_id, output->'dataRef' AS data_ref
FROM run_steps
WHERE (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s::uuid)
  AND (%(since)s::bigint IS NULL OR ended_at >= %(since)s::bigint)
  AND (run_id, step_id) > (%(after_run)s::uuid, %(after_step)s)
  AND output->'dataRef' IS NOT NULL AND status = 'completed'
ORDER BY run_id, step_id
LIMIT %(limit)s
