-- name: archives
SELECT name, sha256, size_bytes, runs, events, first_position, last_position, chain_position, chain_link, cutoff,
    archived_by, archived_at
FROM archives
ORDER BY name

-- name: digests
SELECT run_id, digests FROM archived_runs WHERE archive = %(archive)s ORDER BY run_id
