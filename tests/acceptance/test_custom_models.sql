-- name: per_day
SELECT client, day, skill, attempts::int, seconds FROM orchestrator.skill_seconds_per_day ORDER BY client, skill

-- name: spoil
UPDATE orchestrator.skill_seconds SET client = 'nobody' WHERE client = 'zeta' AND skill = 'text.greet';
INSERT INTO orchestrator.skill_seconds (tenant, run_id, step_id, number)
VALUES ('default', '018f0000-0000-7000-8000-000000000001', 'x', 1)
