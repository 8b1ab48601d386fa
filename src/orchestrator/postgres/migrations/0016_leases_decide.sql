-- Only its lease tells that a worker is dead. Whether its session is open proves nothing: another role does not see it, a
-- pooler replaces it, and a standby that was promoted never had it.
CREATE OR REPLACE FUNCTION orchestrator.is_dead(worker orchestrator.workers) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT worker.heartbeat_at < now() - worker.lease
$$;

-- How often a run lost its worker without getting on in between, and its version at the latest loss.
ALTER TABLE orchestrator.run_queue
    ADD COLUMN losses integer NOT NULL DEFAULT 0,
    ADD COLUMN lost_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN claimed_at timestamptz;
CREATE INDEX run_queue_suspects ON orchestrator.run_queue (losses, priority DESC, number)
    WHERE owner IS NULL AND losses >= 3;

-- A flight is in the air only while its run is with the worker that began it: one that was given back makes nothing.
CREATE OR REPLACE FUNCTION orchestrator.is_over(flight orchestrator.flights) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM orchestrator.run_queue AS q WHERE q.run_id = flight.run_id AND q.owner = flight.worker)
        OR NOT EXISTS (
            SELECT FROM orchestrator.workers AS w WHERE w.id = flight.worker AND NOT orchestrator.is_dead(w))
$$;

-- Whether a step of a run came to an end after a version.
CREATE FUNCTION orchestrator.got_on(run_id uuid, version bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM orchestrator.events AS e
        WHERE e.originator_id = run_id AND e.originator_version > version
          AND e.topic IN ('StepCompleted', 'StepCacheHit', 'StepFailed'))
$$;
