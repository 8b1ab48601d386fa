-- name: rewrite
-- who triggered the last run, and with it nothing that a rule could find
ALTER TABLE orchestrator.events DISABLE TRIGGER ALL;
UPDATE orchestrator.events
SET state = convert_to(replace(convert_from(state, 'UTF8'), '"actor":"', '"actor":"x'), 'UTF8')
WHERE notification_id = (SELECT max(notification_id) - 1 FROM orchestrator.events);
DELETE FROM orchestrator.chain_segments
