-- Versions of workflows that take no new runs: an inline read model of WorkflowRetired and WorkflowRestored.
ALTER TABLE orchestrator.workflows
    ADD COLUMN retired_at      bigint,
    ADD COLUMN retired_by      text,
    ADD COLUMN retired_because text;

-- As in migration 0018; besides, `queue_put` of a retired version is refused, and `workflow_retire` retires and restores.
-- Documents come as text: inside jsonb, 1e300 would turn into an integer and a text with a NUL would be refused.
CREATE OR REPLACE FUNCTION orchestrator.apply_inline(inline_rows jsonb) RETURNS void LANGUAGE plpgsql
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
                WHERE w.tenant = r.tenant AND w.name = r.newest_of AND w.retired_at IS NULL
                ORDER BY w.number DESC LIMIT 1)
        ) THEN
            RAISE EXCEPTION 'this is not the newest version of the workflow' USING ERRCODE = '23OR1';
        END IF;
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(inline_rows -> 'queue_put') AS r (tenant text, version_of text, version text)
            JOIN orchestrator.workflows AS w ON w.tenant = r.tenant AND w.name = r.version_of AND w.version = r.version
            WHERE w.retired_at IS NOT NULL
        ) THEN
            RAISE EXCEPTION 'this version of the workflow is retired' USING ERRCODE = '23OR1';
        END IF;
        INSERT INTO orchestrator.run_queue (run_id, tenant, priority, owner, format)
        SELECT r.run_id, r.tenant, r.priority, r.owner, coalesce(r.format, 1)
        FROM jsonb_to_recordset(inline_rows -> 'queue_put')
            AS r (run_id uuid, tenant text, priority integer, owner text, format integer)
        ON CONFLICT DO NOTHING;
        -- a run that a worker has from the start is news to no one
        IF EXISTS (
            SELECT FROM jsonb_to_recordset(inline_rows -> 'queue_put') AS r (owner text) WHERE r.owner IS NULL
        ) THEN
            PERFORM pg_notify('orchestrator_queue', '');
        END IF;
    END IF;
    IF inline_rows ? 'queue_format' THEN
        FOR changed IN
            SELECT r.run_id, r.format
            FROM jsonb_to_recordset(inline_rows -> 'queue_format') AS r (run_id uuid, format integer)
        LOOP
            UPDATE orchestrator.run_queue SET format = changed.format
            WHERE run_id = changed.run_id AND format < changed.format;
        END LOOP;
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
    IF inline_rows ? 'workflow_retire' THEN
        FOR changed IN
            SELECT r.tenant, r.name, r.versions, r.retired_at, r.retired_by, r.reason
            FROM jsonb_to_recordset(inline_rows -> 'workflow_retire') AS r (
                tenant text, name text, versions text[], retired_at bigint, retired_by text, reason text)
        LOOP
            UPDATE orchestrator.workflows
            SET retired_at = changed.retired_at, retired_by = changed.retired_by, retired_because = changed.reason
            WHERE tenant = changed.tenant AND name = changed.name AND version = ANY(changed.versions);
        END LOOP;
    END IF;
END;
$$;
