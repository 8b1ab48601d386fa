-- name: get
-- Without a version, the newest one that takes runs; if all are retired, the newest.
SELECT name, version, digest, registered_at, definition, retired_at
FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s AND (%(version)s::text IS NULL OR version = %(version)s)
ORDER BY retired_at IS NOT NULL, number DESC
LIMIT 1

-- name: newest
SELECT version FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s AND retired_at IS NULL
ORDER BY number DESC
LIMIT 1

-- name: retired
-- The newest of some retired versions.
SELECT version, retired_at, retired_by, retired_because
FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s AND (%(version)s::text IS NULL OR version = %(version)s)
    AND retired_at IS NOT NULL
ORDER BY number DESC
LIMIT 1

-- name: list
SELECT name, version, digest, registered_at, retired_at,
    coalesce(definition ->> 'description', '') AS description,
    json_array_length(definition -> 'steps') AS step_count
FROM (
    SELECT DISTINCT ON (name) name, version, digest, registered_at, retired_at, definition
    FROM workflows
    WHERE tenant = %(tenant)s
    ORDER BY name, retired_at IS NOT NULL, number DESC
) AS newest
WHERE retired_at IS NULL OR %(with_retired)s
ORDER BY name

-- name: versions
SELECT version
FROM workflows
WHERE tenant = %(tenant)s AND name = %(name)s
ORDER BY number DESC
LIMIT %(most)s

-- name: steps
SELECT DISTINCT step ->> 'stepId' AS step
FROM workflows, json_array_elements(definition -> 'steps') AS step
WHERE tenant = %(tenant)s AND name = %(name)s

-- name: near
(
    SELECT name, version FROM workflows WHERE tenant = %(tenant)s AND name = %(name)s ORDER BY number DESC LIMIT 100
)
UNION ALL
(
    SELECT DISTINCT name, NULL FROM workflows WHERE tenant = %(tenant)s AND name <> %(name)s ORDER BY name LIMIT 1000
)
