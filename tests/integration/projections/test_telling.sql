-- name: forget
UPDATE projections SET position = 0 WHERE name = %(name)s

-- name: hold
SELECT FROM projections WHERE name = %(name)s FOR UPDATE
