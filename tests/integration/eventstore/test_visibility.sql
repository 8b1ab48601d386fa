-- name: append
SELECT orchestrator.append_events(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], NULL)

-- name: make_unsafe
-- What many do: positions from a sequence, handed out before the commit and outside of any lock.
CREATE SEQUENCE public.positions;
CREATE FUNCTION public.append_unsafely(
    stream_ids uuid[], versions bigint[], topics text[], states bytea[]
) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO orchestrator.events (originator_id, originator_version, topic, state, notification_id)
    SELECT e.stream_id, e.version, e.topic, e.state, nextval('public.positions')
    FROM unnest(stream_ids, versions, topics, states) AS e (stream_id, version, topic, state)
    RETURNING notification_id
$$;

-- name: append_unsafely
SELECT public.append_unsafely(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])

-- name: waits_for_lock
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: terminate
SELECT pg_terminate_backend(%s)
