-- name: create_database
CREATE DATABASE {name}

-- name: copy_database
CREATE DATABASE {name} TEMPLATE {template}

-- name: drop_database
DROP DATABASE IF EXISTS {name} WITH (FORCE)
