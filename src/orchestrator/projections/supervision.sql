-- name: list
SELECT p.name, p.version, p.position, p.state, p.error, r.position AS rebuild_position,
    (SELECT coalesce(max(notification_id), 0) FROM events) AS newest
FROM projections AS p
LEFT JOIN rebuilds AS r ON r.name = p.name
ORDER BY p.name

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
