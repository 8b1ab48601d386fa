-- name: worker
SELECT count(*) > 0 AS healthy, 'no worker of this host has a current heartbeat' AS otherwise
FROM orchestrator.workers AS worker
WHERE worker.host = %(host)s AND worker.heartbeat_at > now() - worker.lease

-- name: projector
-- A projector that is behind must have made progress within the last 30 s.
SELECT
    count(*) > 0 AND coalesce(bool_and(
        state = 'live' AND (position >= newest.position_of_log OR updated_at > now() - interval '30 seconds')
    ), false) AS healthy,
    'the read models are behind, and no projector is updating them' AS otherwise
FROM orchestrator.projections
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS position_of_log FROM orchestrator.events) AS newest
