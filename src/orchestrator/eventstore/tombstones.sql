-- name: find
SELECT r.run_id::text AS run_id, r.tenant, r.status, r.request, r.steps, r.last_position, r.archive, a.archived_at
FROM archived_runs AS r
JOIN archives AS a ON a.name = r.archive
WHERE r.run_id = %(run_id)s::uuid

-- name: digests
SELECT positions, digests
FROM archived_runs
WHERE int8range(first_position, last_position, '[]') && int8range(%(after)s, %(until)s, '(]')
