-- name: make_table
CREATE TABLE kept (id int PRIMARY KEY)

-- name: insert
INSERT INTO kept VALUES (1)

-- name: select
SELECT id FROM kept

-- name: setting
SELECT current_setting(%s)

-- name: is_there
SELECT to_regclass('kept') IS NOT NULL
