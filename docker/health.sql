-- name: worker
SELECT count(*) > 0 AS healthy, 'no worker of this host has a heartbeat' AS otherwise
FROM orchestrator.workers AS worker
WHERE worker.host = %(host)s AND worker.heartbeat_at > now() - worker.lease

-- name: projector
-- Unhealthy if there are new events, but the position has not changed for 30 s.
SELECT
    count(*) > 0 AND coalesce(bool_and(
        state = 'live' AND (position >= newest.position_of_log OR updated_at > now() - interval '30 seconds')
    ), false) AS healthy,
    'the read models are not being kept up to date' AS otherwise
FROM orchestrator.projections
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS position_of_log FROM orchestrator.events) AS newest
