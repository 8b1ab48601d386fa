-- name: update
UPDATE orchestrator.events SET topic = 'Forged'

-- name: update_nothing
UPDATE orchestrator.events SET topic = 'Forged' WHERE false

-- name: delete
DELETE FROM orchestrator.events

-- name: truncate
TRUNCATE orchestrator.events

-- name: truncate_cascade
TRUNCATE orchestrator.events CASCADE

-- name: upsert
INSERT INTO orchestrator.events SELECT * FROM orchestrator.events
ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = 'Forged'

-- name: merge
MERGE INTO orchestrator.events AS e USING orchestrator.events AS same
ON e.notification_id = same.notification_id
WHEN MATCHED THEN DELETE
