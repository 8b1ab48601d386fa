-- name: lock
SELECT p.name, p.position
FROM projections AS p
JOIN unnest(%(names)s::text[], %(versions)s::integer[]) AS ours (name, version)
  ON p.name = ours.name AND p.version = ours.version
WHERE p.state = 'live'
ORDER BY p.name
FOR UPDATE OF p SKIP LOCKED

-- name: introduce
INSERT INTO projections (name, version)
SELECT * FROM unnest(%(names)s::text[], %(versions)s::integer[])
ON CONFLICT DO NOTHING

-- name: advance
WITH advanced AS (
    UPDATE projections SET position = %(position)s, updated_at = now() WHERE name = ANY(%(names)s) RETURNING position
)
SELECT pg_notify('orchestrator_projected', max(position)::text) FROM advanced

-- name: stop
UPDATE projections SET state = 'stopped', error = %(error)s::json, updated_at = now() WHERE name = ANY(%(names)s)

-- name: skips
SELECT DISTINCT position FROM orchestrator.projection_skips
