-- name: create
-- Removes sessions that have ended, and the oldest of a credential that has too many.
WITH ended AS (
    DELETE FROM sessions WHERE hash IN (
        SELECT hash FROM sessions WHERE expires_at <= %(created_at)s ORDER BY expires_at LIMIT %(max_removed)s)
), surplus AS (
    DELETE FROM sessions WHERE hash IN (
        SELECT hash FROM sessions WHERE tenant = %(tenant)s AND credential = %(credential)s
        ORDER BY created_at DESC OFFSET %(max_others)s LIMIT %(max_removed)s)
)
INSERT INTO sessions (hash, tenant, credential, key_id, actor, role, created_at, expires_at)
VALUES (%(hash)s, %(tenant)s, %(credential)s, %(key_id)s, %(actor)s, %(role)s, %(created_at)s, %(expires_at)s)

-- name: find
-- By the hash of a secret that only its holder knows.
SELECT hash, tenant, credential, key_id, actor, role, created_at, expires_at FROM sessions WHERE hash = %(hash)s

-- name: end
DELETE FROM sessions WHERE hash = %(hash)s AND tenant = %(tenant)s
