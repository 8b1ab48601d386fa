-- What skills say of attempts that are under way. It is no part of the log: the latest word counts, and none once the
-- attempt has ended.
CREATE TABLE orchestrator.step_progress (
    run_id   uuid    NOT NULL,
    step_id  text    NOT NULL,
    attempt  integer NOT NULL,
    fraction real    NOT NULL,
    message  text    NOT NULL,
    PRIMARY KEY (run_id, step_id)
) WITH (fillfactor = 50);
