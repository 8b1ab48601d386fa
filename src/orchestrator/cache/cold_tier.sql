-- name: consult
SELECT key, source_run::text AS source_run, output::text AS output, granted
FROM consult_cache(
    $1::text, $2::text::uuid, $3::text, $4::text[]::uuid[], $5::text[], $6::text[], $7::text[], $8::text[]::boolean[],
    $9::text[], ARRAY(SELECT nullif(run_id, '')::uuid FROM unnest($10::text[]) AS run_id))

-- name: consult_dated
SELECT c.key, c.source_run::text AS source_run, c.output::text AS output, c.granted,
    (SELECT s.stored_at FROM step_cache AS s WHERE s.tenant = $1::text AND s.key = c.key AND s.run_id = c.source_run
    )::text AS stored_at
FROM consult_cache(
    $1::text, $2::text::uuid, $3::text, $4::text[]::uuid[], $5::text[], $6::text[], $7::text[], $8::text[]::boolean[],
    $9::text[], ARRAY(SELECT nullif(run_id, '')::uuid FROM unnest($10::text[]) AS run_id)) AS c

-- name: epoch
INSERT INTO cache_epochs (tenant) VALUES (%s) ON CONFLICT (tenant) DO UPDATE SET epoch = cache_epochs.epoch
RETURNING epoch
