-- What is to be done and by whom. `run_queue` is an inline read model: a row for each run that is not finished.
CREATE TABLE orchestrator.run_queue (
    run_id     uuid    PRIMARY KEY,
    tenant     text    NOT NULL,
    priority   integer NOT NULL DEFAULT 0,
    number     bigint  GENERATED ALWAYS AS IDENTITY,
    owner      text,
    blocked_on text[]
) WITH (fillfactor = 70);
CREATE INDEX run_queue_claimable ON orchestrator.run_queue (priority DESC, number) WHERE owner IS NULL;
CREATE INDEX run_queue_owner ON orchestrator.run_queue (owner) WHERE owner IS NOT NULL;

-- One row a worker. It is alive while its session is open and its heartbeat is younger than its lease.
CREATE TABLE orchestrator.workers (
    id             text        PRIMARY KEY,
    host           text        NOT NULL,
    pid            integer     NOT NULL,
    lease          interval    NOT NULL,
    session_pid    integer,
    session_start  timestamptz,
    started_at     timestamptz NOT NULL DEFAULT now(),
    heartbeat_at   timestamptz NOT NULL DEFAULT now()
);

-- A closed session proves a death only when the server itself has been up for a while: after its own crash
-- every session is gone, and the workers are about to come back.
CREATE FUNCTION orchestrator.is_dead(worker orchestrator.workers) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT worker.heartbeat_at < now() - worker.lease
        OR (worker.session_pid IS NOT NULL
            AND pg_postmaster_start_time() < now() - worker.lease
            AND NOT EXISTS (
                SELECT FROM pg_stat_activity AS activity
                WHERE activity.pid = worker.session_pid AND activity.backend_start = worker.session_start))
$$;

-- The catalogue: an inline read model of WorkflowRegistered.
CREATE TABLE orchestrator.workflows (
    tenant        text   NOT NULL,
    name          text   NOT NULL,
    version       text   NOT NULL,
    number        bigint NOT NULL,
    digest        text   NOT NULL,
    definition    json   NOT NULL,
    registered_at bigint NOT NULL,
    PRIMARY KEY (tenant, name, version)
);
