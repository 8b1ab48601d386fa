-- name: last_segment
SELECT number, first_position, last_position, head, marks FROM chain_segments ORDER BY number DESC LIMIT 1

-- name: write
INSERT INTO chain_segments (number, first_position, last_position, head, marks)
VALUES (%(number)s, %(first_position)s, %(last_position)s, %(head)s, %(marks)s)
ON CONFLICT (number) DO UPDATE SET
    last_position = excluded.last_position, head = excluded.head, marks = excluded.marks

-- name: lock
SELECT pg_try_advisory_xact_lock(715003) AS locked

-- name: segments
SELECT number, first_position, last_position, head, marks
FROM chain_segments WHERE number > %(after)s ORDER BY number LIMIT %(limit)s
