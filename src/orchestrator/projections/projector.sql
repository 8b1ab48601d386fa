-- name: lock
SELECT name, position FROM projections WHERE name = ANY(%s) ORDER BY name FOR UPDATE SKIP LOCKED

-- name: introduce
INSERT INTO projections (name, version)
SELECT * FROM unnest(%s::text[], %s::integer[])
ON CONFLICT DO NOTHING

-- name: advance
WITH advanced AS (
    UPDATE projections SET position = %s, updated_at = now() WHERE state = 'live' RETURNING position
)
SELECT pg_notify('orchestrator_projected', max(position)::text) FROM advanced
