-- Rebuilds under way: where each is in the log. The rows themselves stand in a schema of the rebuild's own.
CREATE TABLE orchestrator.rebuilds (
    name       text        PRIMARY KEY,
    version    integer     NOT NULL,
    position   bigint      NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- Events that somebody decided a read model shall pass over.
CREATE TABLE orchestrator.projection_skips (
    name       text        NOT NULL,
    position   bigint      NOT NULL,
    error      text        NOT NULL,
    skipped_by text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, position)
);
