-- A rebuild fills its table in parts, in any order and by several processes, up to the position `goal`. Once it is
-- filled, `position` says what the table has reached. What an earlier program had begun is begun anew.
DELETE FROM orchestrator.rebuilds;
ALTER TABLE orchestrator.rebuilds
    ADD COLUMN goal      bigint  NOT NULL DEFAULT 0,
    ADD COLUMN is_filled boolean NOT NULL DEFAULT false;

-- The runs whose first event lies after one position up to another.
CREATE TABLE orchestrator.rebuild_parts (
    name       text    NOT NULL REFERENCES orchestrator.rebuilds ON DELETE CASCADE,
    after      bigint  NOT NULL,
    until      bigint  NOT NULL,
    is_done    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (name, after)
);

-- What the last rebuild or comparison came to.
ALTER TABLE orchestrator.projections ADD COLUMN last_rebuild json;
