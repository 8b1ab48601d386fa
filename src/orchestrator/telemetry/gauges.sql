-- name: limit
SELECT set_config('statement_timeout', %(timeout_ms)s::text, true)

-- name: read
SELECT queue.*,
    (SELECT coalesce(max(notification_id), 0) FROM events) AS position,
    (SELECT count(*) FROM workers AS worker WHERE NOT is_dead(worker)) AS workers,
    (SELECT coalesce(json_agg(json_build_object('name', name, 'position', position, 'live', state = 'live')), '[]')
        FROM projections) AS projections
FROM (
    SELECT count(*) FILTER (WHERE owner IS NULL AND blocked_on IS NULL) AS queued,
           count(*) FILTER (WHERE owner IS NOT NULL) AS running,
           count(*) FILTER (WHERE owner IS NULL AND blocked_on IS NOT NULL) AS blocked
    FROM run_queue
) AS queue
