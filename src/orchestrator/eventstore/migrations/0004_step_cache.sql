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
CREATE INDEX step_cache_by_step ON orchestrator.step_cache (tenant, workflow, step_id);
CREATE INDEX step_cache_by_run ON orchestrator.step_cache (run_id) WHERE scope = 'run_only';

-- How often results of a tenant were invalidated: quicker tiers never look back past the last time.
CREATE TABLE orchestrator.cache_epochs (
    tenant text   PRIMARY KEY,
    epoch  bigint NOT NULL
);

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

CREATE FUNCTION orchestrator.land_flights(run_ids uuid[], step_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    landed record;
BEGIN
    FOR landed IN
        DELETE FROM orchestrator.flights AS f USING unnest(run_ids, step_ids) AS r (run_id, step_id)
        WHERE f.run_id = r.run_id AND f.step_id = r.step_id
        RETURNING f.key, f.waited
    LOOP
        IF landed.waited THEN
            PERFORM pg_notify('orchestrator_flights', md5(landed.key));
        END IF;
    END LOOP;
END;
$$;

-- What an append changes in the inline read models; the keys are those of eventstore/inline.py.
CREATE FUNCTION orchestrator.apply_inline(inline_rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
    END IF;
    IF inline_rows ? 'cache_put' THEN
        INSERT INTO orchestrator.step_cache
            (tenant, key, run_id, step_id, workflow, skill, scope, output, output_hash, size_bytes, stored_at)
        SELECT r.tenant, r.key, r.run_id, r.step_id, r.workflow, r.skill, r.scope, r.output, r.output_hash,
            octet_length(r.output::text), r.stored_at
        FROM jsonb_to_recordset(inline_rows -> 'cache_put') AS r (
            tenant text, key text, run_id uuid, step_id text, workflow text, skill text, scope text, output json,
            output_hash text, stored_at bigint)
        ON CONFLICT (tenant, key, run_id) DO UPDATE SET
            skill = excluded.skill, output = excluded.output, output_hash = excluded.output_hash,
            size_bytes = excluded.size_bytes, stored_at = excluded.stored_at;
        PERFORM orchestrator.land_flights(array_agg(r.run_id), array_agg(r.step_id))
        FROM jsonb_to_recordset(inline_rows -> 'cache_put') AS r (run_id uuid, step_id text);
    END IF;
    IF inline_rows ? 'flight_drop' THEN
        PERFORM orchestrator.land_flights(array_agg(r.run_id), array_agg(r.step_id))
        FROM jsonb_to_recordset(inline_rows -> 'flight_drop') AS r (run_id uuid, step_id text);
    END IF;
    IF inline_rows ? 'cache_drop' THEN
        DELETE FROM orchestrator.step_cache AS c
        USING jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (
            tenant text, keys text[], workflow text, step text)
        WHERE c.tenant = r.tenant
          AND (c.key = ANY(r.keys)
               OR (r.workflow IS NOT NULL AND c.workflow = r.workflow AND (r.step IS NULL OR c.step_id = r.step)));
        INSERT INTO orchestrator.cache_epochs (tenant, epoch)
        SELECT DISTINCT r.tenant, 1 FROM jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (tenant text)
        ON CONFLICT (tenant) DO UPDATE SET epoch = cache_epochs.epoch + 1;
        PERFORM pg_notify('orchestrator_cache', r.tenant)
        FROM jsonb_to_recordset(inline_rows -> 'cache_drop') AS r (tenant text);
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
            DELETE FROM orchestrator.flights WHERE run_id = cancelled::uuid;
            DELETE FROM orchestrator.step_cache WHERE run_id = cancelled::uuid AND scope = 'run_only';
            PERFORM pg_notify('orchestrator_cancel', cancelled);
        END LOOP;
    END IF;
    IF inline_rows ? 'workflow_put' THEN
        INSERT INTO orchestrator.workflows (tenant, name, version, number, digest, definition, registered_at)
        SELECT r.tenant, r.name, r.version, r.number, r.digest, r.definition, r.registered_at
        FROM jsonb_to_recordset(inline_rows -> 'workflow_put') AS r (
            tenant text, name text, version text, number bigint, digest text, definition json, registered_at bigint)
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;
