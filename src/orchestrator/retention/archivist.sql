-- name: marked
SELECT run_id::text AS run_id, month, events, cutoff
FROM retiring_runs
ORDER BY month, first_position
LIMIT %(limit)s

-- name: left
SELECT count(*) AS runs FROM retiring_runs

-- name: record
INSERT INTO archives (name, sha256, size_bytes, runs, events, first_position, last_position, chain_position, chain_link,
    cutoff, archived_by)
VALUES (%(name)s, %(sha256)s, %(size_bytes)s, %(runs)s, %(events)s, %(first_position)s, %(last_position)s,
    %(chain_position)s, %(chain_link)s, %(cutoff)s, %(archived_by)s)

-- name: deadline
SELECT current_setting('statement_timeout') AS timeout

-- name: set_deadline
SELECT set_config('statement_timeout', %(timeout)s, false)

-- name: vacuum
VACUUM (ANALYZE) {table}
