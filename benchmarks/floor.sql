-- name: create_table
CREATE TABLE events (
    stream uuid, version bigint, topic text NOT NULL, state bytea NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    PRIMARY KEY (stream, version)
)

-- name: one_row
INSERT INTO events (stream, version, topic, state) VALUES (%b, %b, %b, %b)

-- name: rows
INSERT INTO events (stream, version, topic, state)
SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])

-- name: copy
COPY events (stream, version, topic, state) FROM STDIN (FORMAT BINARY)
