-- name: disarm
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL

-- name: decide_otherwise
UPDATE orchestrator.events
SET state = convert_to(replace(convert_from(state, 'UTF8'), '"attempt":1', '"attempt":9'), 'UTF8')
WHERE originator_id = %(run_id)s AND topic = 'StepStarted' AND originator_version = (
    SELECT min(originator_version) FROM orchestrator.events
    WHERE originator_id = %(run_id)s AND topic = 'StepStarted')
RETURNING notification_id
