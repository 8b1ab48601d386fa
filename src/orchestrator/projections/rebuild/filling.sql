-- name: claim
SELECT p.after, p.until, r.goal
FROM rebuild_parts AS p
JOIN rebuilds AS r ON r.name = p.name
WHERE p.name = %(name)s AND NOT p.is_done
ORDER BY p.after
LIMIT 1
FOR UPDATE OF p SKIP LOCKED

-- name: done
UPDATE rebuild_parts SET is_done = true WHERE name = %(name)s AND after = %(after)s

-- name: no_deadline
SET LOCAL statement_timeout = 0

-- name: use_schema
SELECT set_config('search_path', %(schema)s || ', orchestrator', true)

-- name: copy
COPY {table} ({columns}) FROM STDIN
