-- name: get
SELECT name, version, digest, registered_at, definition
FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s AND (%(version)s::text IS NULL OR version = %(version)s)
ORDER BY number DESC
LIMIT 1

-- name: newest
SELECT version FROM workflows WHERE tenant = %(tenant)s AND name = %(name)s ORDER BY number DESC LIMIT 1

-- name: list
SELECT DISTINCT ON (name) name, version, digest, registered_at, definition
FROM workflows
WHERE tenant = %(tenant)s
ORDER BY name, number DESC

-- name: versions
SELECT name, version, digest, registered_at, definition
FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s
ORDER BY number

-- name: near
(
    SELECT name, version FROM workflows WHERE tenant = %(tenant)s AND name = %(name)s ORDER BY number DESC LIMIT 100
)
UNION ALL
(
    SELECT DISTINCT name, NULL FROM workflows WHERE tenant = %(tenant)s AND name <> %(name)s ORDER BY name LIMIT 1000
)
