-- name: chunks
SELECT run_id::text AS run_id, tenant, step_id, attempt, number, lines, size_bytes, content_hash, uri
FROM step_logs
WHERE run_id = ANY(%(run_ids)s::uuid[]) AND (run_id, number) > (%(run_id)s::uuid, %(number)s)
ORDER BY run_id, number
LIMIT %(limit)s
