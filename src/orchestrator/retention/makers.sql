-- name: several
-- Artifacts that more than one step has produced, according to the read model.
SELECT s.tenant, item ->> 'id' AS id
FROM run_steps AS s CROSS JOIN json_array_elements(s.output -> 'artifacts') AS item
WHERE s.artifacts > 0 AND s.status = 'completed'
GROUP BY 1, 2
HAVING count(*) > 1

-- name: position
SELECT coalesce(min(position), 0) AS position FROM projections WHERE name = ANY(%(names)s)

-- name: completed
SELECT originator_id, originator_version, topic, state, notification_id
FROM events
WHERE notification_id > %(after)s AND notification_id <= %(until)s AND topic = 'StepCompleted'
ORDER BY notification_id
