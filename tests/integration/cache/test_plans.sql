-- name: consult
SELECT * FROM orchestrator.consult_cache(
    't', %(run_id)s::uuid, 'w', ARRAY[%(run_id)s::uuid], %(keys)s::text[],
    array_fill('skill@1'::text, ARRAY[cardinality(%(keys)s::text[])]),
    array_fill('s'::text, ARRAY[cardinality(%(keys)s::text[])]),
    array_fill(true, ARRAY[cardinality(%(keys)s::text[])]), '{}'::text[], '{}'::uuid[])

-- name: apply
SELECT orchestrator.apply_inline(%s::jsonb)

-- name: grow_cache
INSERT INTO orchestrator.step_cache
SELECT 't', 'key ' || n, gen_random_uuid(), 's', 'w', 'skill@1', 'global', '{"data": 1}', 'h', 11, n
FROM generate_series(%s::integer, %s::integer) AS n

-- name: grow_flights
INSERT INTO orchestrator.flights (tenant, key, run_id, step_id, worker)
SELECT 't', 'other ' || n, gen_random_uuid(), 's', 'w' FROM generate_series(%s::integer, %s::integer) AS n

-- name: grow_queue
INSERT INTO orchestrator.run_queue (run_id, tenant) SELECT gen_random_uuid(), 't' FROM generate_series(%s::integer, %s::integer)

-- name: analyse
ANALYZE orchestrator.step_cache, orchestrator.flights, orchestrator.run_queue

-- name: rows_read
SELECT relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::integer AS read
FROM pg_stat_xact_user_tables WHERE schemaname = 'orchestrator' AND relname = ANY(%s)
