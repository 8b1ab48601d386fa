-- name: consult
SELECT key, source_run::text AS source_run, output::text AS output, granted
FROM consult_cache(
    %(tenant)s, %(run_id)s::uuid, %(worker)s, %(serving)s::uuid[],
    %(keys)s::text[], %(skills)s::text[], %(steps)s::text[], %(shared)s::boolean[],
    %(spoiled_keys)s::text[], %(spoiled_runs)s::uuid[])

-- name: epoch
INSERT INTO cache_epochs (tenant) VALUES (%s) ON CONFLICT (tenant) DO UPDATE SET epoch = cache_epochs.epoch
RETURNING epoch
