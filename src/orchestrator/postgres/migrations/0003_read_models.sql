-- Asynchronous read models, written by the projector from the log. Times are milliseconds since 1970 UTC.
CREATE TABLE orchestrator.projections (
    name       text        PRIMARY KEY,
    version    integer     NOT NULL,
    position   bigint      NOT NULL DEFAULT 0,
    state      text        NOT NULL DEFAULT 'live',
    error      json,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orchestrator.runs (
    run_id           uuid    PRIMARY KEY,
    tenant           text    NOT NULL,
    workflow_name    text    NOT NULL,
    workflow_version text    NOT NULL,
    trigger_type     text    NOT NULL,
    status           text    NOT NULL,
    priority         integer NOT NULL,
    labels           jsonb   NOT NULL,
    payload          json    NOT NULL,
    base_run_id      uuid,
    change           json,
    impacted         json,
    reused           json    NOT NULL,
    missing_skills   json    NOT NULL,
    error            json,
    failed_step      text,
    owner            text,
    created_at       bigint  NOT NULL,
    started_at       bigint,
    completed_at     bigint,
    updated_at       bigint  NOT NULL,
    stream_version   bigint  NOT NULL,
    first_position   bigint  NOT NULL,
    position         bigint  NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX runs_newest ON orchestrator.runs (tenant, first_position DESC);
CREATE INDEX runs_by_status ON orchestrator.runs (tenant, status, first_position DESC);
CREATE INDEX runs_by_workflow ON orchestrator.runs (tenant, workflow_name, first_position DESC);
CREATE INDEX runs_by_base ON orchestrator.runs (base_run_id) WHERE base_run_id IS NOT NULL;
CREATE INDEX runs_by_label ON orchestrator.runs USING gin (labels jsonb_path_ops) WHERE labels <> '{}';

-- A step that nothing happened to has no row: it is pending, or reused from another run.
CREATE TABLE orchestrator.run_steps (
    run_id      uuid    NOT NULL,
    step_id     text    NOT NULL,
    tenant      text    NOT NULL,
    skill       text,
    status      text    NOT NULL,
    attempt     integer NOT NULL,
    past        json    NOT NULL,
    worker      text,
    input_hash  text,
    cache_key   text,
    hit         text,
    miss        text,
    source_run  uuid,
    output      json,
    output_hash text,
    artifacts   integer NOT NULL,
    error       json,
    due_at      bigint,
    started_at  bigint,
    ended_at    bigint,
    duration_ms double precision,
    PRIMARY KEY (run_id, step_id)
) WITH (fillfactor = 80);
CREATE INDEX run_steps_with_artifacts ON orchestrator.run_steps (run_id) WHERE artifacts > 0;

-- Every content a step made or registered, once a tenant.
CREATE TABLE orchestrator.artifacts (
    tenant       text   NOT NULL,
    id           uuid   NOT NULL,
    type         text   NOT NULL,
    uri          text   NOT NULL,
    content_hash text   NOT NULL,
    size_bytes   bigint NOT NULL,
    filename     text,
    metadata     json   NOT NULL,
    run_id       uuid   NOT NULL,
    step_id      text   NOT NULL,
    created_at   bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);
