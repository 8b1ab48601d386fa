-- Attempts that are executed by other machines: one row for each, from its dispatch until its outcome is in the log.
-- `fence` is the secret that a result must carry; `work` and `record` are JSON. `work` is null where an engine is given
-- the work itself, and otherwise pull workers take it from here.
CREATE TABLE orchestrator.dispatches (
    tenant     text        NOT NULL,
    name       text        NOT NULL,
    executor   text        NOT NULL,
    fence      text        NOT NULL,
    run_id     uuid        NOT NULL,
    step_id    text        NOT NULL,
    attempt    integer     NOT NULL,
    skill      text        NOT NULL,
    requires   text[]      NOT NULL,
    work       text,
    worker     text,
    beat_at    timestamptz,
    cancelled  boolean     NOT NULL DEFAULT false,
    record     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50);
CREATE INDEX dispatches_to_take ON orchestrator.dispatches (tenant, executor, created_at) WHERE worker IS NULL;

-- The workers that pull, as of their latest poll or beat. `skills` are `id@version`, and `since`
-- is when they came, or came back with other labels or skills.
CREATE TABLE orchestrator.pull_workers (
    tenant  text        NOT NULL,
    pool    text        NOT NULL,
    id      text        NOT NULL,
    labels  text[]      NOT NULL,
    skills  text[]      NOT NULL,
    since   timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, pool, id)
) WITH (fillfactor = 50);

-- Keys of pull workers: they may take and report the attempts of one pool, and nothing else.
ALTER TABLE orchestrator.keys
    ADD COLUMN pool text,
    DROP CONSTRAINT keys_role_check,
    ADD CONSTRAINT keys_role_check CHECK (role IN ('viewer', 'operator', 'admin', 'executor')),
    ADD CONSTRAINT keys_pool_check CHECK ((role = 'executor') = (pool IS NOT NULL));
