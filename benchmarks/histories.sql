-- name: copy
COPY orchestrator.events (originator_id, originator_version, topic, state, notification_id) FROM STDIN (FORMAT binary)

-- name: checkpoints
INSERT INTO orchestrator.projections (name, version, position)
SELECT name, 1, %(position)s FROM unnest(%(names)s::text[]) AS name
ON CONFLICT (name) DO UPDATE SET position = excluded.position

-- name: analyze
ANALYZE orchestrator.events
