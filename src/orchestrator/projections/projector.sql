-- name: lock
SELECT p.name, p.position
FROM projections AS p
JOIN unnest($1, $2) AS ours (name, version)
  ON p.name = ours.name AND p.version = ours.version
-- The commit need not be durable: after a server crash, checkpoint and rows are consistent and are projected again.
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS durability
WHERE p.state = 'live'
ORDER BY p.name
FOR UPDATE OF p SKIP LOCKED

-- name: introduce
INSERT INTO projections (name, version)
SELECT * FROM unnest(%(names)s::text[], %(versions)s::integer[])
ON CONFLICT DO NOTHING

-- name: advance
WITH advanced AS (
    UPDATE projections SET position = $1, updated_at = now() WHERE name = ANY($2) RETURNING position
)
SELECT pg_notify('orchestrator_projected', max(position)::text) FROM advanced

-- name: advance_quietly
UPDATE projections SET position = $1, updated_at = now() WHERE name = ANY($2)

-- name: stop
UPDATE projections SET state = 'stopped', error = %(error)s::json, updated_at = now() WHERE name = ANY(%(names)s)

-- name: skips
SELECT DISTINCT position FROM orchestrator.projection_skips

-- name: call_others
SELECT pg_notify('orchestrator_events', '')
