-- The step cache's cold tier: an inline read model of StepCompleted and StepCacheInvalidated.
CREATE TABLE orchestrator.step_cache (
    tenant      text    NOT NULL,
    key         text    NOT NULL,
    run_id      uuid    NOT NULL,
    step_id     text    NOT NULL,
    workflow    text    NOT NULL,
    skill       text    NOT NULL,
    scope       text    NOT NULL,
    output      json    NOT NULL,
    output_hash text    NOT NULL,
    size_bytes  bigint  NOT NULL,
    stored_at   bigint  NOT NULL,
    PRIMARY KEY (tenant, key, run_id)
) WITH (fillfactor = 90);
CREATE INDEX step_cache_newest ON orchestrator.step_cache (tenant, key, stored_at DESC);
CREATE INDEX step_cache_by_step ON orchestrator.step_cache (tenant, workflow, step_id, stored_at DESC);
CREATE INDEX step_cache_by_run ON orchestrator.step_cache (run_id) WHERE scope = 'run_only';

-- Which epoch a tenant's results belong to: quick tiers never look back past an invalidation, which begins the
-- next. The first is a random number, so that what another database left in a shared Redis is never found.
CREATE TABLE orchestrator.cache_epochs (
    tenant text   PRIMARY KEY,
    epoch  bigint NOT NULL DEFAULT (random() * 9e15)::bigint
);

-- Begins the next epoch of tenants and tells every process.
CREATE FUNCTION orchestrator.begin_epochs(tenants text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orchestrator.cache_epochs (tenant)
    SELECT t.tenant FROM unnest(tenants) AS t (tenant) ORDER BY t.tenant
    ON CONFLICT (tenant) DO UPDATE SET epoch = cache_epochs.epoch + 1;
    PERFORM pg_notify('orchestrator_cache', t.tenant) FROM unnest(tenants) AS t (tenant);
END;
$$;

-- Who executes which key right now, so that others wait for the result instead of making it again. Nothing
-- is lost when this is: the worst is a step executed twice.
CREATE UNLOGGED TABLE orchestrator.flights (
    tenant  text    NOT NULL,
    key     text    NOT NULL,
    run_id  uuid    NOT NULL,
    step_id text    NOT NULL,
    worker  text    NOT NULL,
    waited  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, key)
) WITH (fillfactor = 50);
CREATE INDEX flights_by_step ON orchestrator.flights (run_id, step_id);

-- Whoever waits for a flight that is over may take off: the run has ended, or its worker is dead.
CREATE FUNCTION orchestrator.is_over(flight orchestrator.flights) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM orchestrator.run_queue AS q WHERE q.run_id = flight.run_id)
        OR NOT EXISTS (
            SELECT FROM orchestrator.workers AS w WHERE w.id = flight.worker AND NOT orchestrator.is_dead(w))
$$;

-- Lands flights, those of steps and all those of runs that ended, and wakes who waits. In the order of the keys,
-- as they are taken in `consult_cache`: the two cannot wait for each other.
CREATE FUNCTION orchestrator.land_flights(
    run_ids uuid[], step_ids text[], ended uuid[] DEFAULT NULL
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off  -- what landed stays in the table until it is vacuumed
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    landed record;
BEGIN
    FOR landed IN
        WITH landing AS (
            SELECT f.tenant, f.key, f.run_id
            FROM unnest(run_ids, step_ids) AS r (run_id, step_id)
            JOIN orchestrator.flights AS f ON f.run_id = r.run_id AND f.step_id = r.step_id
            UNION
            SELECT f.tenant, f.key, f.run_id FROM orchestrator.flights AS f WHERE f.run_id = ANY(ended)
        ), held AS MATERIALIZED (
            SELECT l.tenant, l.key, l.run_id
            FROM landing AS l
            JOIN orchestrator.flights AS f ON f.tenant = l.tenant AND f.key = l.key
            ORDER BY f.tenant, f.key
            FOR UPDATE OF f
        )
        DELETE FROM orchestrator.flights AS f USING held AS h
        WHERE f.tenant = h.tenant AND f.key = h.key AND f.run_id = h.run_id
        RETURNING f.key, f.waited
    LOOP
        IF landed.waited THEN
            PERFORM pg_notify('orchestrator_flights', md5(landed.key));
        END IF;
    END LOOP;
END;
$$;

-- The newest result of each key that was made by the skill asked for and is not one of the spoiled ones (of which
-- a run that is null stands for all of a key). A key without one has no row.
CREATE FUNCTION orchestrator.find_results(
    for_tenant text, serving uuid[], keys text[], skills text[], steps text[], shared boolean[],
    spoiled_keys text[], spoiled_runs uuid[]
) RETURNS TABLE (key text, step_id text, source_run uuid, output json) LANGUAGE sql STABLE AS $$
    SELECT q.key, q.step_id, c.run_id, c.output
    FROM unnest(keys, skills, steps, shared) AS q (key, skill, step_id, shared)
    CROSS JOIN LATERAL (
        SELECT s.run_id, s.output
        FROM orchestrator.step_cache AS s
        WHERE s.tenant = for_tenant AND s.key = q.key AND s.skill = q.skill
          AND ((s.scope = 'global' AND q.shared) OR s.run_id = ANY(serving))
          AND (cardinality(spoiled_keys) = 0 OR NOT EXISTS (
              SELECT FROM unnest(spoiled_keys, spoiled_runs) AS b (key, run_id)
              WHERE b.key = s.key AND (b.run_id IS NULL OR b.run_id = s.run_id)))
        ORDER BY s.stored_at DESC
        LIMIT 1
    ) AS c
$$;

-- Answers each key: with a result, with leave to make it (`granted`), or with neither while another run makes it.
-- One run at a time has leave for results that others could use.
--
-- A maker may land between the first look and the flight. So whoever gets leave looks again: a result appears in
-- the transaction that lands its flight.
CREATE FUNCTION orchestrator.consult_cache(
    for_tenant text, for_run uuid, for_worker text, serving uuid[],
    keys text[], skills text[], steps text[], shared boolean[], spoiled_keys text[], spoiled_runs uuid[]
) RETURNS TABLE (key text, source_run uuid, output json, granted boolean) LANGUAGE plpgsql
SET enable_seqscan = off          -- plans are made while the tables are still empty
SET plan_cache_mode = force_generic_plan  -- planning each time takes longer than the look-up
AS $$
#variable_conflict use_column
DECLARE
    answer record;
    found_keys text[] := '{}';
    leave_keys text[];
    leave_skills text[];
    leave_steps text[];
    landed_steps text[];
BEGIN
    FOR answer IN
        SELECT f.key, f.source_run, f.output
        FROM orchestrator.find_results(
            for_tenant, serving, keys, skills, steps, shared, spoiled_keys, spoiled_runs) AS f
    LOOP
        key := answer.key; source_run := answer.source_run; output := answer.output; granted := false;
        found_keys := found_keys || answer.key;
        RETURN NEXT;
    END LOOP;
    IF cardinality(found_keys) = cardinality(keys) THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT q.key, NULL::uuid, NULL::json, true
        FROM unnest(keys, shared) AS q (key, shared)
        WHERE NOT q.shared AND NOT EXISTS (SELECT FROM unnest(found_keys) AS f (key) WHERE f.key = q.key);

    -- who makes what need not be on disk
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR answer IN
        INSERT INTO orchestrator.flights AS held (tenant, key, run_id, step_id, worker)
        SELECT for_tenant, q.key, for_run, q.step_id, for_worker
        FROM unnest(keys, steps, shared) AS q (key, step_id, shared)
        WHERE q.shared AND NOT EXISTS (SELECT FROM unnest(found_keys) AS f (key) WHERE f.key = q.key)
        ORDER BY q.key
        ON CONFLICT (tenant, key) DO UPDATE SET
            waited = true,
            (run_id, step_id, worker) = (
                SELECT CASE WHEN o.free THEN excluded.run_id ELSE held.run_id END,
                       CASE WHEN o.free THEN excluded.step_id ELSE held.step_id END,
                       CASE WHEN o.free THEN excluded.worker ELSE held.worker END
                FROM (SELECT held.run_id = excluded.run_id OR orchestrator.is_over(held) AS free) AS o)
        RETURNING held.key, held.step_id, held.run_id = for_run AS granted
    LOOP
        IF answer.granted THEN
            leave_keys := leave_keys || answer.key;
        ELSE
            key := answer.key; source_run := NULL; output := NULL; granted := false;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF leave_keys IS NULL THEN
        RETURN;
    END IF;

    SELECT array_agg(q.key), array_agg(q.skill), array_agg(q.step_id)
    INTO leave_keys, leave_skills, leave_steps
    FROM unnest(leave_keys) AS l (key)
    JOIN unnest(keys, skills, steps) AS q (key, skill, step_id) ON q.key = l.key;
    found_keys := '{}';
    FOR answer IN
        SELECT f.key, f.step_id, f.source_run, f.output
        FROM orchestrator.find_results(
            for_tenant, serving, leave_keys, leave_skills, leave_steps, array_fill(true, ARRAY[cardinality(leave_keys)]),
            spoiled_keys, spoiled_runs) AS f
    LOOP
        key := answer.key; source_run := answer.source_run; output := answer.output; granted := false;
        found_keys := found_keys || answer.key;
        landed_steps := landed_steps || answer.step_id;
        RETURN NEXT;
    END LOOP;
    IF landed_steps IS NOT NULL THEN
        PERFORM orchestrator.land_flights(array_fill(for_run, ARRAY[cardinality(landed_steps)]), landed_steps);
    END IF;
    RETURN QUERY
        SELECT l.key, NULL::uuid, NULL::json, true
        FROM unnest(leave_keys) AS l (key)
        WHERE NOT EXISTS (SELECT FROM unnest(found_keys) AS f (key) WHERE f.key = l.key);
END;
$$;

-- What an append changes in the inline read models; the keys are those of eventstore/inline.py. Documents come as
-- text: inside jsonb, 1e300 would turn into an integer and a text with a NUL would be refused.
CREATE FUNCTION orchestrator.apply_inline(inline_rows jsonb) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    cancelled text;
BEGIN
    IF inline_rows ? 'queue_put' THEN
        INSERT INTO orchestrator.run_queue (run_id, tenant, priority)
        SELECT r.run_id, r.tenant, r.priority
        FROM jsonb_to_recordset(inline_rows -> 'queue_put') AS r (run_id uuid, tenant text, priority integer)
        ON CONFLICT DO NOTHING;
        PERFORM pg_notify('orchestrator_queue', '');
    END IF;
    IF inline_rows ? 'queue_block' THEN
        UPDATE orchestrator.run_queue AS q SET owner = NULL, blocked_on = r.skills
        FROM jsonb_to_recordset(inline_rows -> 'queue_block') AS r (run_id uuid, skills text[])
        WHERE q.run_id = r.run_id;
        -- a worker that is idle may know the skills
        PERFORM pg_notify('orchestrator_queue', '');
    END IF;
    IF inline_rows ? 'cache_put' THEN
        INSERT INTO orchestrator.step_cache
            (tenant, key, run_id, step_id, workflow, skill, scope, output, output_hash, size_bytes, stored_at)
        SELECT r.tenant, r.key, r.run_id, r.step_id, r.workflow, r.skill, r.scope, r.output::json, r.output_hash,
            octet_length(r.output), r.stored_at
        FROM jsonb_to_recordset(inline_rows -> 'cache_put') AS r (
            tenant text, key text, run_id uuid, step_id text, workflow text, skill text, scope text, output text,
            output_hash text, stored_at bigint)
        ON CONFLICT (tenant, key, run_id) DO UPDATE SET
            skill = excluded.skill, output = excluded.output, output_hash = excluded.output_hash,
            size_bytes = excluded.size_bytes, stored_at = excluded.stored_at;
    END IF;
    IF inline_rows ? 'cache_drop' THEN
        DELETE FROM orchestrator.step_cache AS c
        USING jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (
            tenant text, keys text[], workflow text, step text)
        WHERE c.tenant = r.tenant
          AND (c.key = ANY(r.keys)
               OR (r.workflow IS NOT NULL AND c.workflow = r.workflow AND (r.step IS NULL OR c.step_id = r.step)));
        PERFORM orchestrator.begin_epochs(array(
            SELECT DISTINCT r.tenant FROM jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (tenant text)));
    END IF;
    IF inline_rows ? 'queue_drop' THEN
        DELETE FROM orchestrator.run_queue AS q USING jsonb_array_elements_text(inline_rows -> 'queue_drop') AS r (run_id)
        WHERE q.run_id = r.run_id::uuid;
        -- what only this run could use serves no one any more: updates of it find its results in run_steps
        DELETE FROM orchestrator.step_cache AS c USING jsonb_array_elements_text(inline_rows -> 'queue_drop') AS r (run_id)
        WHERE c.run_id = r.run_id::uuid AND c.scope = 'run_only';
    END IF;
    IF inline_rows ? 'queue_cancel' THEN
        FOR cancelled IN SELECT jsonb_array_elements_text(inline_rows -> 'queue_cancel') LOOP
            DELETE FROM orchestrator.run_queue WHERE run_id = cancelled::uuid;
            DELETE FROM orchestrator.step_cache WHERE run_id = cancelled::uuid AND scope = 'run_only';
            PERFORM pg_notify('orchestrator_cancel', cancelled);
        END LOOP;
    END IF;
    IF inline_rows ?| ARRAY['cache_put', 'flight_drop', 'queue_drop', 'queue_cancel'] THEN
        PERFORM orchestrator.land_flights(array_agg(r.run_id), array_agg(r.step_id), array(
            SELECT e.run_id::uuid FROM jsonb_array_elements_text(inline_rows -> 'queue_drop') AS e (run_id)
            UNION ALL
            SELECT e.run_id::uuid FROM jsonb_array_elements_text(inline_rows -> 'queue_cancel') AS e (run_id)))
        FROM (
            SELECT p.run_id, p.step_id
            FROM jsonb_to_recordset(inline_rows -> 'cache_put') AS p (run_id uuid, step_id text)
            UNION ALL
            SELECT d.run_id, d.step_id
            FROM jsonb_to_recordset(inline_rows -> 'flight_drop') AS d (run_id uuid, step_id text)
        ) AS r;
    END IF;
    IF inline_rows ? 'workflow_put' THEN
        INSERT INTO orchestrator.workflows (tenant, name, version, number, digest, definition, registered_at)
        SELECT r.tenant, r.name, r.version, r.number, r.digest, r.definition::json, r.registered_at
        FROM jsonb_to_recordset(inline_rows -> 'workflow_put') AS r (
            tenant text, name text, version text, number bigint, digest text, definition text, registered_at bigint)
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;
