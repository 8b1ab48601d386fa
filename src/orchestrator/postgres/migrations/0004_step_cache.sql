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
-- Not led by the tenant: a plan made while the table is empty must not find it as good as the one above for a key.
CREATE INDEX step_cache_by_step ON orchestrator.step_cache (workflow, step_id, tenant, stored_at DESC);
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

-- Plans of the functions below are made once, while the tables are empty or small, and have to be right when they are
-- large; to plan each time would take longer than the work. So rows are looked up one by one, by the columns that
-- lead an index: a join would leave the planner a choice, and statistics of a small table lead it to read it all.

-- Whoever waits for a flight that is over may take off: the run has ended, or its worker is dead.
CREATE FUNCTION orchestrator.is_over(flight orchestrator.flights) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM orchestrator.run_queue AS q WHERE q.run_id = flight.run_id)
        OR NOT EXISTS (
            SELECT FROM orchestrator.workers AS w WHERE w.id = flight.worker AND NOT orchestrator.is_dead(w))
$$;

-- Lands flights, those of steps and all those of runs that ended, and wakes who waits. In the order of the keys,
-- as they are taken in `consult_cache`: the two cannot wait for each other.
CREATE FUNCTION orchestrator.land_flights(
    run_ids uuid[], step_ids text[], ended uuid[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    landing orchestrator.flights[];
    one orchestrator.flights;
    ended_run uuid;
    was_waited boolean;
BEGIN
    FOR number IN 1 .. coalesce(cardinality(run_ids), 0) LOOP
        landing := landing || ARRAY(
            SELECT f FROM orchestrator.flights AS f WHERE f.run_id = run_ids[number] AND f.step_id = step_ids[number]);
    END LOOP;
    FOREACH ended_run IN ARRAY ended LOOP
        landing := landing || ARRAY(SELECT f FROM orchestrator.flights AS f WHERE f.run_id = ended_run);
    END LOOP;
    FOR one IN SELECT DISTINCT l.* FROM unnest(landing) AS l ORDER BY l.tenant, l.key LOOP
        -- somebody else's by now, perhaps; and not to be found by its run, of which there may be many
        DELETE FROM orchestrator.flights AS f
        WHERE f.tenant = one.tenant AND f.key = one.key AND (f.run_id = one.run_id) IS TRUE
        RETURNING f.waited INTO was_waited;
        IF was_waited THEN
            PERFORM pg_notify('orchestrator_flights', md5(one.key));
        END IF;
    END LOOP;
END;
$$;

-- The newest result of each key, in the order of the keys, that was made by the skill asked for and is not one of the
-- spoiled ones (of which a run that is null stands for all of a key). `source_run` is null where there is none.
CREATE FUNCTION orchestrator.find_results(
    for_tenant text, serving uuid[], keys text[], skills text[], steps text[], shared boolean[],
    spoiled_keys text[], spoiled_runs uuid[]
) RETURNS TABLE (key text, skill text, step_id text, shared boolean, source_run uuid, output json)
LANGUAGE sql STABLE AS $$
    SELECT q.key, q.skill, q.step_id, q.shared, c.run_id, c.output
    FROM unnest(keys, skills, steps, shared) AS q (key, skill, step_id, shared)
    LEFT JOIN LATERAL (
        SELECT s.run_id, s.output
        FROM orchestrator.step_cache AS s
        WHERE s.tenant = for_tenant AND s.key = q.key AND s.skill = q.skill
          AND ((s.scope = 'global' AND q.shared) OR s.run_id = ANY(serving))
          AND (cardinality(spoiled_keys) = 0 OR NOT EXISTS (
              SELECT FROM unnest(spoiled_keys, spoiled_runs) AS b (key, run_id)
              WHERE b.key = s.key AND (b.run_id IS NULL OR b.run_id = s.run_id)))
        ORDER BY s.stored_at DESC
        LIMIT 1
    ) AS c ON true
    ORDER BY q.key
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
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    answer record;
    missing_keys text[];
    missing_skills text[];
    missing_steps text[];
    number integer := 0;
    leave_keys text[];
    leave_skills text[];
    leave_steps text[];
    landed_steps text[];
BEGIN
    FOR answer IN
        SELECT f.* FROM orchestrator.find_results(
            for_tenant, serving, keys, skills, steps, shared, spoiled_keys, spoiled_runs) AS f
    LOOP
        IF answer.source_run IS NULL AND answer.shared THEN
            missing_keys := missing_keys || answer.key;
            missing_skills := missing_skills || answer.skill;
            missing_steps := missing_steps || answer.step_id;
        ELSE
            key := answer.key; source_run := answer.source_run; output := answer.output;
            granted := answer.source_run IS NULL;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF missing_keys IS NULL THEN
        RETURN;
    END IF;

    -- who makes what need not be on disk
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR answer IN
        INSERT INTO orchestrator.flights AS held (tenant, key, run_id, step_id, worker)
        SELECT for_tenant, m.key, for_run, m.step_id, for_worker
        FROM unnest(missing_keys, missing_steps) WITH ORDINALITY AS m (key, step_id, number)
        ORDER BY m.number
        ON CONFLICT (tenant, key) DO UPDATE SET
            waited = true,
            (run_id, step_id, worker) = (
                SELECT CASE WHEN o.free THEN excluded.run_id ELSE held.run_id END,
                       CASE WHEN o.free THEN excluded.step_id ELSE held.step_id END,
                       CASE WHEN o.free THEN excluded.worker ELSE held.worker END
                FROM (SELECT held.run_id = excluded.run_id OR orchestrator.is_over(held) AS free) AS o)
        RETURNING held.key, held.step_id, held.run_id = for_run AS granted
    LOOP
        number := number + 1;
        IF answer.granted THEN
            leave_keys := leave_keys || answer.key;
            leave_skills := leave_skills || missing_skills[number];
            leave_steps := leave_steps || answer.step_id;
        ELSE
            key := answer.key; source_run := NULL; output := NULL; granted := false;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF leave_keys IS NULL THEN
        RETURN;
    END IF;

    FOR answer IN
        SELECT f.* FROM orchestrator.find_results(
            for_tenant, serving, leave_keys, leave_skills, leave_steps,
            array_fill(true, ARRAY[cardinality(leave_keys)]), spoiled_keys, spoiled_runs) AS f
    LOOP
        key := answer.key; source_run := answer.source_run; output := answer.output;
        granted := answer.source_run IS NULL;
        RETURN NEXT;
        IF NOT granted THEN
            landed_steps := landed_steps || answer.step_id;
        END IF;
    END LOOP;
    IF landed_steps IS NOT NULL THEN
        PERFORM orchestrator.land_flights(array_fill(for_run, ARRAY[cardinality(landed_steps)]), landed_steps);
    END IF;
END;
$$;

-- What an append changes in the inline read models; the keys are those of eventstore/inline.py. Documents come as
-- text: inside jsonb, 1e300 would turn into an integer and a text with a NUL would be refused.
CREATE FUNCTION orchestrator.apply_inline(inline_rows jsonb) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    changed record;
    ended_run uuid;
    landing uuid[];
BEGIN
    IF inline_rows ? 'queue_put' THEN
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(inline_rows -> 'queue_put') AS r (tenant text, newest_of text, version text)
            WHERE r.newest_of IS NOT NULL AND r.version IS DISTINCT FROM (
                SELECT w.version FROM orchestrator.workflows AS w
                WHERE w.tenant = r.tenant AND w.name = r.newest_of
                ORDER BY w.number DESC LIMIT 1)
        ) THEN
            RAISE EXCEPTION 'a newer version of the workflow was registered' USING ERRCODE = '23OR1';
        END IF;
        INSERT INTO orchestrator.run_queue (run_id, tenant, priority, owner)
        SELECT r.run_id, r.tenant, r.priority, r.owner
        FROM jsonb_to_recordset(inline_rows -> 'queue_put')
            AS r (run_id uuid, tenant text, priority integer, owner text)
        ON CONFLICT DO NOTHING;
        -- a run that a worker has from the start is news to no one
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(inline_rows -> 'queue_put') AS r (owner text) WHERE r.owner IS NULL
        ) THEN
            PERFORM pg_notify('orchestrator_queue', '');
        END IF;
    END IF;
    IF inline_rows ? 'queue_block' THEN
        FOR changed IN
            SELECT r.run_id, r.skills
            FROM jsonb_to_recordset(inline_rows -> 'queue_block') AS r (run_id uuid, skills text[])
        LOOP
            UPDATE orchestrator.run_queue SET owner = NULL, blocked_on = changed.skills WHERE run_id = changed.run_id;
        END LOOP;
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
        FOR changed IN
            SELECT r.tenant, r.keys, r.workflow, r.step
            FROM jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (
                tenant text, keys text[], workflow text, step text)
        LOOP
            DELETE FROM orchestrator.step_cache WHERE tenant = changed.tenant AND key = ANY(changed.keys);
            DELETE FROM orchestrator.step_cache
            WHERE tenant = changed.tenant AND workflow = changed.workflow
              AND (changed.step IS NULL OR step_id = changed.step);
        END LOOP;
        PERFORM orchestrator.begin_epochs(array(
            SELECT DISTINCT r.tenant FROM jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (tenant text)));
    END IF;
    IF inline_rows ?| ARRAY['queue_drop', 'queue_cancel'] THEN
        FOR ended_run IN
            SELECT e.run_id::uuid FROM jsonb_array_elements_text(inline_rows -> 'queue_drop') AS e (run_id)
            UNION ALL
            SELECT e.run_id::uuid FROM jsonb_array_elements_text(inline_rows -> 'queue_cancel') AS e (run_id)
        LOOP
            DELETE FROM orchestrator.run_queue WHERE run_id = ended_run;
            -- what only this run could use serves no one any more: updates of it find its results in run_steps
            DELETE FROM orchestrator.step_cache WHERE run_id = ended_run AND scope = 'run_only';
            PERFORM FROM orchestrator.flights WHERE run_id = ended_run;
            IF FOUND THEN
                landing := landing || ended_run;
            END IF;
        END LOOP;
    END IF;
    IF inline_rows ? 'queue_cancel' THEN
        PERFORM pg_notify('orchestrator_cancel', e.run_id)
        FROM jsonb_array_elements_text(inline_rows -> 'queue_cancel') AS e (run_id);
    END IF;
    IF landing IS NOT NULL OR inline_rows ?| ARRAY['cache_put', 'flight_drop'] THEN
        PERFORM orchestrator.land_flights(array_agg(r.run_id), array_agg(r.step_id), coalesce(landing, '{}'))
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
