-- What skills print. A row is a chunk of the log of one attempt; its lines are in the artifact store (gzip, JSON lines).
-- `number` counts the chunks of a run in the order in which they were committed, `part` those of an attempt. `bytes` is
-- the size of the text, `size_bytes` that of the stored content, `cut` how many lines of the attempt are missing so far.
CREATE TABLE orchestrator.step_logs (
    tenant       text    NOT NULL,
    run_id       uuid    NOT NULL,
    number       integer NOT NULL,
    step_id      text    NOT NULL,
    attempt      integer NOT NULL,
    part         integer NOT NULL,
    lines        integer NOT NULL,
    bytes        bigint  NOT NULL,
    size_bytes   bigint  NOT NULL,
    content_hash text    NOT NULL,
    uri          text    NOT NULL,
    first_at     bigint  NOT NULL,
    last_at      bigint  NOT NULL,
    cut          bigint  NOT NULL,
    PRIMARY KEY (run_id, number),
    UNIQUE (run_id, step_id, attempt, part)
);
