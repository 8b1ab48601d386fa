-- name: disarm
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL

-- name: changed
UPDATE orchestrator.events SET state = set_byte(state, length(state) - 2, get_byte(state, length(state) - 2) # 1)
WHERE notification_id = %(position)s

-- name: deleted
DELETE FROM orchestrator.events WHERE notification_id = %(position)s

-- name: swapped
WITH two AS (
    SELECT notification_id, state, topic FROM orchestrator.events
    WHERE notification_id IN (%(position)s, %(position)s + 1)
)
UPDATE orchestrator.events AS e SET state = two.state, topic = two.topic
FROM two WHERE e.notification_id = 2 * %(position)s + 1 - two.notification_id

-- name: cut
DELETE FROM orchestrator.events WHERE notification_id >= %(position)s

-- name: cut_chain
DELETE FROM orchestrator.chain_segments

-- name: forged
INSERT INTO orchestrator.events
SELECT originator_id, (SELECT max(f.originator_version) + 1 FROM orchestrator.events AS f
    WHERE f.originator_id = e.originator_id), topic, state,
    (SELECT max(notification_id) + 1 FROM orchestrator.events)
FROM orchestrator.events AS e WHERE topic = 'StepCompleted' ORDER BY notification_id LIMIT 1

-- name: row
UPDATE orchestrator.runs SET status = 'failed'
WHERE run_id = (SELECT run_id FROM orchestrator.runs ORDER BY first_position LIMIT 1)
