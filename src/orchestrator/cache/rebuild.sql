-- name: begin
CREATE TEMPORARY TABLE step_cache_rebuilt (LIKE step_cache INCLUDING INDEXES) ON COMMIT DROP

-- name: put
INSERT INTO step_cache_rebuilt
    (tenant, key, run_id, step_id, workflow, skill, scope, output, output_hash, size_bytes, stored_at)
SELECT r.tenant, r.key, r.run_id, r.step_id, r.workflow, r.skill, r.scope, r.output::json, r.output_hash,
    octet_length(r.output), r.stored_at
FROM json_to_recordset(%s::json) AS r (
    tenant text, key text, run_id uuid, step_id text, workflow text, skill text, scope text, output text,
    output_hash text, stored_at bigint)
ON CONFLICT (tenant, key, run_id) DO UPDATE SET
    skill = excluded.skill, output = excluded.output, output_hash = excluded.output_hash,
    size_bytes = excluded.size_bytes, stored_at = excluded.stored_at

-- name: drop
DELETE FROM step_cache_rebuilt AS c
USING json_to_recordset(%s::json) AS r (tenant text, keys text[], workflow text, step text)
WHERE c.tenant = r.tenant
  AND (c.key = ANY(r.keys) OR (c.workflow = r.workflow AND (r.step IS NULL OR c.step_id = r.step)))

-- name: end
DELETE FROM step_cache_rebuilt AS c
USING json_array_elements_text(%s::json) AS r (run_id)
WHERE c.run_id = r.run_id::uuid AND c.scope = 'run_only'

-- name: hold_appends
SELECT pg_advisory_xact_lock(715001)

-- name: leave_out_archived
-- The results of archived runs were removed with the runs, or were no longer used; see `retention`.
DELETE FROM step_cache_rebuilt AS c
WHERE EXISTS (SELECT FROM retiring_runs AS r WHERE r.run_id = c.run_id)
   OR EXISTS (SELECT FROM archived_runs AS a WHERE a.run_id = c.run_id)

-- name: compare
CREATE TEMPORARY TABLE step_cache_faults ON COMMIT DROP AS
SELECT coalesce(live.tenant, right_one.tenant) AS tenant, coalesce(live.key, right_one.key) AS key,
    coalesce(live.run_id, right_one.run_id) AS run_id,
    CASE WHEN live.key IS NULL THEN 'missing' WHEN right_one.key IS NULL THEN 'alien' ELSE 'different' END AS fault
FROM step_cache AS live
FULL JOIN step_cache_rebuilt AS right_one
  ON live.tenant = right_one.tenant AND live.key = right_one.key AND live.run_id = right_one.run_id
WHERE live.key IS NULL OR right_one.key IS NULL
   OR (live.step_id, live.workflow, live.skill, live.scope, live.output::text, live.output_hash, live.size_bytes,
       live.stored_at)
      IS DISTINCT FROM
      (right_one.step_id, right_one.workflow, right_one.skill, right_one.scope, right_one.output::text,
       right_one.output_hash, right_one.size_bytes, right_one.stored_at)

-- name: faults
SELECT fault, tenant, key, run_id::text AS run_id FROM step_cache_faults ORDER BY fault, tenant, key, run_id

-- name: remove
DELETE FROM step_cache AS c USING step_cache_faults AS f
WHERE c.tenant = f.tenant AND c.key = f.key AND c.run_id = f.run_id

-- name: replace
INSERT INTO step_cache
SELECT r.* FROM step_cache_rebuilt AS r
JOIN step_cache_faults AS f ON r.tenant = f.tenant AND r.key = f.key AND r.run_id = f.run_id

-- name: next_epoch
SELECT begin_epochs(ARRAY(SELECT DISTINCT tenant FROM step_cache_faults))
