-- Retention: finished runs leave the log for archive files, and a tombstone stays in the place of each.

-- One row an archive file: what it holds, what its bytes are, and who took it out of the log when. `chain_position` and
-- `chain_link` are the head of the hash chain at that moment.
CREATE TABLE orchestrator.archives (
    name           text        PRIMARY KEY,
    sha256         text        NOT NULL,
    size_bytes     bigint      NOT NULL,
    runs           integer     NOT NULL,
    events         bigint      NOT NULL,
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    chain_position bigint      NOT NULL,
    chain_link     text        NOT NULL,
    cutoff         bigint      NOT NULL,
    archived_by    text        NOT NULL,
    archived_at    timestamptz NOT NULL DEFAULT now()
);

-- One row an archived run. `digests` holds the SHA-256 of each of its events and `positions` where each stood, version by
-- version, 32 and 8 bytes each: the chain can be walked over what has left. `request` and `steps` answer a trigger
-- that is repeated with the same Idempotency-Key.
CREATE TABLE orchestrator.archived_runs (
    run_id           uuid   PRIMARY KEY,
    tenant           text   NOT NULL,
    workflow_name    text   NOT NULL,
    workflow_version text   NOT NULL,
    status           text   NOT NULL,
    created_at       bigint NOT NULL,
    completed_at     bigint NOT NULL,
    request          text,
    steps            integer NOT NULL,
    first_position   bigint NOT NULL,
    last_position    bigint NOT NULL,
    positions        bytea  NOT NULL,
    digests          bytea  NOT NULL,
    archive          text   NOT NULL REFERENCES orchestrator.archives
);
-- Hashes do not compress.
ALTER TABLE orchestrator.archived_runs
    ALTER COLUMN positions SET STORAGE EXTERNAL,
    ALTER COLUMN digests SET STORAGE EXTERNAL;
CREATE INDEX archived_runs_place ON orchestrator.archived_runs USING gist (int8range(first_position, last_position, '[]'));
CREATE INDEX archived_runs_archive ON orchestrator.archived_runs (archive);

CREATE TRIGGER archives_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON orchestrator.archives
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_change();
CREATE TRIGGER archived_runs_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON orchestrator.archived_runs
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_change();

-- The digest of an event, as projections/chain.py has it.
CREATE FUNCTION orchestrator.event_digest(stream_id uuid, version bigint, topic text, state bytea, place bigint)
RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(int8send(place) || uuid_send(stream_id) || int8send(version)
        || int4send(octet_length(convert_to(topic, 'UTF8'))) || convert_to(topic, 'UTF8')
        || int4send(octet_length(state)) || state)
$$;

-- Events leave the log a whole run at a time, and only when a tombstone holds the digest and the place of each.
CREATE FUNCTION orchestrator.refuse_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT g.originator_id,
                string_agg(int8send(g.notification_id), '' ORDER BY g.originator_version) AS positions,
                string_agg(orchestrator.event_digest(
                    g.originator_id, g.originator_version, g.topic, g.state, g.notification_id), ''
                    ORDER BY g.originator_version) AS digests
            FROM gone AS g
            GROUP BY g.originator_id
        ) AS leaving
        LEFT JOIN orchestrator.archived_runs AS a ON a.run_id = leaving.originator_id
        WHERE (a.positions = leaving.positions AND a.digests = leaving.digests) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'OR001';
    END IF;
    RETURN NULL;
END;
$$;
DROP TRIGGER events_are_append_only ON orchestrator.events;
CREATE TRIGGER events_are_append_only
    BEFORE UPDATE OR TRUNCATE ON orchestrator.events
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_change();
CREATE TRIGGER events_leave_when_archived
    AFTER DELETE ON orchestrator.events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_loss();

-- Runs that are about to leave: chosen, and from then on nothing is built upon them. A run stands here until its
-- tombstone does.
CREATE TABLE orchestrator.retiring_runs (
    run_id         uuid   PRIMARY KEY,
    month          text   NOT NULL,
    first_position bigint NOT NULL,
    events         bigint NOT NULL,
    cutoff         bigint NOT NULL
);

-- Refuses what would begin an archived run again, or build upon one that has left or is about to.
CREATE FUNCTION orchestrator.refuse_archived(beginning uuid[], needed uuid[]) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    one uuid;
BEGIN
    FOREACH one IN ARRAY beginning || needed LOOP
        IF EXISTS (SELECT FROM orchestrator.archived_runs AS a WHERE a.run_id = one) THEN
            RAISE EXCEPTION 'run % is archived', one USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    FOREACH one IN ARRAY needed LOOP
        IF EXISTS (SELECT FROM orchestrator.retiring_runs AS r WHERE r.run_id = one) THEN
            RAISE EXCEPTION 'run % is being archived', one USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
END;
$$;

-- As in migration 0001; besides, no archived run begins again, and none is built upon (`needs` of the inline rows).
CREATE OR REPLACE FUNCTION orchestrator.append_events(
    stream_ids uuid[], versions bigint[], topics text[], states bytea[], inline_rows jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last_position bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(715001);
    SELECT notification_id INTO last_position FROM orchestrator.events ORDER BY notification_id DESC LIMIT 1;
    last_position := coalesce(last_position, 0);
    INSERT INTO orchestrator.events (originator_id, originator_version, topic, state, notification_id)
    SELECT e.stream_id, e.version, e.topic, e.state, last_position + e.ordinality
    FROM unnest(stream_ids, versions, topics, states) WITH ORDINALITY
        AS e (stream_id, version, topic, state, ordinality);
    -- The primary key refuses a version that is taken; this refuses one that would leave a gap before it.
    PERFORM orchestrator.refuse_gaps(stream_ids, versions);
    -- After the insert: it has waited for a retention that was taking out a run of the same id.
    IF 1 = ANY(versions) OR inline_rows ? 'needs' THEN
        PERFORM orchestrator.refuse_archived(
            ARRAY(SELECT e.stream_id FROM unnest(stream_ids, versions) AS e (stream_id, version) WHERE e.version = 1),
            ARRAY(SELECT DISTINCT n.run_id::uuid FROM jsonb_array_elements_text(inline_rows -> 'needs') AS n (run_id)));
    END IF;
    IF inline_rows IS NOT NULL THEN
        PERFORM orchestrator.apply_inline(inline_rows);
    END IF;
    PERFORM pg_notify('orchestrator_events', (last_position + cardinality(stream_ids))::text);
    RETURN last_position + 1;
END;
$$;
