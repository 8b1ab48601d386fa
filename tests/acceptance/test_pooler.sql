-- name: create_role
CREATE ROLE {name} LOGIN

-- name: drop_owned
DROP OWNED BY {name}

-- name: drop_role
DROP ROLE {name}

-- name: default_schema
ALTER ROLE {role} IN DATABASE {database} SET search_path = orchestrator
