-- name: more_versions
INSERT INTO workflows (tenant, name, version, number, digest, definition, registered_at)
SELECT w.tenant, w.name, 'copy-' || extra, w.number + extra, w.digest, w.definition, w.registered_at
FROM workflows AS w, generate_series(1, %(most)s) AS extra
