-- name: living_workers
SELECT count(*) AS workers FROM workers AS w WHERE NOT is_dead(w)

-- name: attempts
-- What began and ended attempts in the tenant's runs that a worker drives now.
SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id
FROM run_queue AS q
JOIN events AS e ON e.originator_id = q.run_id
WHERE q.tenant = %(tenant)s AND q.owner IS NOT NULL
  AND e.topic IN ('StepStarted', 'StepCompleted', 'StepFailed')
ORDER BY e.originator_id, e.originator_version
