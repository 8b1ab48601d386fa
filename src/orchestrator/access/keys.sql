-- name: create
INSERT INTO keys (id, tenant, name, role, pool, hash, created_at, created_by, expires_at)
VALUES (%(id)s, %(tenant)s, %(name)s, %(role)s, %(pool)s, %(hash)s, %(created_at)s, %(created_by)s, %(expires_at)s)

-- name: find
SELECT id, tenant, name, role, pool, hash, created_at, created_by, expires_at, revoked_at FROM keys WHERE id = %(id)s

-- name: list
SELECT id, tenant, name, role, pool, hash, created_at, created_by, expires_at, revoked_at
FROM keys
WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s
ORDER BY created_at, id

-- name: revoke
UPDATE keys SET revoked_at = coalesce(revoked_at, %(now)s) WHERE id = %(id)s
RETURNING id, tenant, name, role, pool, hash, created_at, created_by, expires_at, revoked_at
