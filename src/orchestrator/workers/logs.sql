-- name: hold
-- The numbers of a run's chunks follow the order of commits.
SELECT pg_advisory_xact_lock(715019, hashtext(run.id))
FROM (SELECT DISTINCT unnest(%(run_ids)s::text[]) AS id ORDER BY id) AS run

-- name: write
WITH added AS (
    INSERT INTO step_logs (run_id, number, tenant, step_id, attempt, part, lines, bytes, size_bytes, content_hash, uri,
        first_at, last_at, cut)
    SELECT c.run_id, newest.number + row_number() OVER (PARTITION BY c.run_id ORDER BY c.place), c.tenant, c.step_id,
        c.attempt, c.part, c.lines, c.bytes, c.size_bytes, c.content_hash, c.uri, c.first_at, c.last_at, c.cut
    FROM unnest(%(run_ids)s::uuid[], %(tenants)s::text[], %(steps)s::text[], %(attempts)s::integer[],
        %(parts)s::integer[], %(lines)s::integer[], %(bytes)s::bigint[], %(size_bytes)s::bigint[],
        %(content_hashes)s::text[], %(uris)s::text[], %(first_ats)s::bigint[], %(last_ats)s::bigint[],
        %(cuts)s::bigint[]) WITH ORDINALITY
        AS c (run_id, tenant, step_id, attempt, part, lines, bytes, size_bytes, content_hash, uri, first_at, last_at,
            cut, place)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(l.number), 0) AS number FROM step_logs AS l WHERE l.run_id = c.run_id
    ) AS newest
    ON CONFLICT (run_id, step_id, attempt, part) DO NOTHING
    RETURNING run_id
)
SELECT pg_notify('orchestrator_logs', run.id)
FROM (SELECT DISTINCT run_id::text AS id FROM added) AS run
