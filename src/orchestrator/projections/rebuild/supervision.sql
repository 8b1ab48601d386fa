-- name: list
SELECT p.name, p.version, p.position, p.state, p.error, p.updated_at, p.last_rebuild,
    r.version AS new_version, r.goal,
    CASE WHEN r.is_filled THEN r.position ELSE (
        SELECT coalesce(sum(d.until - d.after), 0)::bigint FROM rebuild_parts AS d WHERE d.name = r.name AND d.is_done
    ) END AS events,
    EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = 715002 AND l.granted
          AND l.objid = (hashtext(p.name)::bigint & 4294967295)::oid
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS is_running
FROM projections AS p
LEFT JOIN rebuilds AS r ON r.name = p.name

-- name: retry
UPDATE projections SET state = 'live', error = NULL, updated_at = now()
WHERE name = %(name)s AND state = 'stopped'

-- name: skip
WITH stopped AS (
    SELECT name, (error ->> 'position')::bigint AS position, error ->> 'error' AS error
    FROM projections WHERE name = %(name)s AND state = 'stopped'
    FOR UPDATE
), noted AS (
    INSERT INTO projection_skips (name, position, error, skipped_by)
    SELECT name, position, error, %(by)s FROM stopped
    ON CONFLICT DO NOTHING
)
UPDATE projections AS p SET state = 'live', error = NULL, position = stopped.position, updated_at = now()
FROM stopped WHERE p.name = stopped.name
RETURNING stopped.position

-- name: notify
SELECT pg_notify('orchestrator_events', '')
