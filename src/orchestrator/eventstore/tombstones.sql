-- name: find
SELECT r.run_id::text AS run_id, r.tenant, r.status, r.request, r.steps, r.last_position, r.archive, a.archived_at,
    d.deleted_at
FROM archived_runs AS r
LEFT JOIN archives AS a ON a.name = r.archive
LEFT JOIN deletions AS d ON d.run_id = r.run_id
WHERE r.run_id = %(run_id)s::uuid

-- name: digests
SELECT positions, digests
FROM archived_runs
WHERE int8range(first_position, last_position, '[]') && int8range(%(after)s, %(until)s, '(]')
