-- name: archives
SELECT name, sha256, size_bytes, runs, events, first_position, last_position, chain_position, chain_link, cutoff,
    archived_by, archived_at
FROM archives
ORDER BY name

-- name: unrecorded
-- Tombstones of runs that are in no file, and of which no record says that they were deleted.
SELECT r.run_id::text AS run_id
FROM archived_runs AS r
WHERE r.archive IS NULL AND NOT EXISTS (
    SELECT FROM deletions AS d
    WHERE d.run_id = r.run_id AND d.tenant = r.tenant AND d.events = octet_length(r.digests) / 32)
ORDER BY run_id

-- name: digests
SELECT run_id, digests FROM archived_runs WHERE archive = %(archive)s ORDER BY run_id
