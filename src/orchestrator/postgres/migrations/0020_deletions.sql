-- Deletion of runs. A deleted run leaves the log as an archived one does, with a tombstone in `archived_runs`, but there
-- is no file: `archive` is null. Older programs verify the chain over it as before.
ALTER TABLE orchestrator.archived_runs ALTER COLUMN archive DROP NOT NULL;

-- One row a deleted run: who deleted it when, why, and how many events it had.
CREATE TABLE orchestrator.deletions (
    run_id     uuid        PRIMARY KEY REFERENCES orchestrator.archived_runs,
    tenant     text        NOT NULL,
    events     bigint      NOT NULL,
    reason     text        NOT NULL,
    deleted_by text        NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER deletions_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON orchestrator.deletions
    FOR EACH STATEMENT EXECUTE FUNCTION orchestrator.refuse_change();
