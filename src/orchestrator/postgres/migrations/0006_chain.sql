-- The hash chain over the log, kept off the write path. Each link covers the one before and one event; a row
-- holds the last link of its segment in full and the first eight bytes of every link, to point at a place.
CREATE TABLE orchestrator.chain_segments (
    number         bigint PRIMARY KEY,
    first_position bigint NOT NULL,
    last_position  bigint NOT NULL,
    head           bytea  NOT NULL,
    marks          bytea  NOT NULL
);
