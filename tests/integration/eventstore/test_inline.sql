-- name: cached
SELECT output::text AS output, size_bytes, output_hash FROM orchestrator.step_cache WHERE run_id = ANY(%s::uuid[])

-- name: queue
SELECT run_id::text, tenant, priority, owner, blocked_on FROM orchestrator.run_queue
WHERE run_id = ANY(%s::uuid[]) ORDER BY number
