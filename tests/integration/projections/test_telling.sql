-- name: forget
UPDATE projections SET position = 0 WHERE name = %(name)s

-- name: hold
SELECT FROM projections WHERE name = %(name)s FOR UPDATE

-- name: hide
ALTER TABLE orchestrator.projections RENAME TO hidden

-- name: show
ALTER TABLE orchestrator.hidden RENAME TO projections
