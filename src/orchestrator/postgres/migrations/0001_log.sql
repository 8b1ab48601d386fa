-- The log. One row an event; streams are numbered by version, the whole log by position (notification_id).
-- Column names are those of the event sourcing library, whose recorders read this table.
CREATE TABLE orchestrator.events (
    originator_id      uuid   NOT NULL,
    originator_version bigint NOT NULL,
    topic              text   NOT NULL,
    state              bytea  NOT NULL,
    notification_id    bigint NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_analyze_threshold = 10000
);
CREATE UNIQUE INDEX events_position ON orchestrator.events (notification_id);

CREATE FUNCTION orchestrator.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'OR001';
END;
$$;

CREATE TRIGGER events_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON orchestrator.events
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_change();

-- Refuses versions that do not follow on what their streams hold. Row by row: as one query it would take a quarter of a
-- small append to begin with.
CREATE FUNCTION orchestrator.refuse_gaps(stream_ids uuid[], versions bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR number IN 1 .. cardinality(versions) LOOP
        CONTINUE WHEN versions[number] = 1
            OR (stream_ids[number - 1] = stream_ids[number] AND versions[number - 1] = versions[number] - 1) IS TRUE;
        PERFORM FROM orchestrator.events AS before
        WHERE before.originator_id = stream_ids[number] AND before.originator_version = versions[number] - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'an append would leave a gap in its stream' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
END;
$$;

-- Appends events and returns the position of the first. One writer at a time from here to its commit, so that
-- positions have no gaps and become visible in order: a reader that saw position n has seen all before it.
-- Inline read models are written in the same transaction, by apply_inline (migration 0004).
CREATE FUNCTION orchestrator.append_events(
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
    IF inline_rows IS NOT NULL THEN
        PERFORM orchestrator.apply_inline(inline_rows);
    END IF;
    PERFORM pg_notify('orchestrator_events', (last_position + cardinality(stream_ids))::text);
    RETURN last_position + 1;
END;
$$;
