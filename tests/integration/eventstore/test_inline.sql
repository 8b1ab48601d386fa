-- name: cached
SELECT output::text AS output, size_bytes, output_hash FROM orchestrator.step_cache WHERE key = %s

-- name: queue
SELECT run_id::text, tenant, priority, owner, blocked_on FROM orchestrator.run_queue ORDER BY number
