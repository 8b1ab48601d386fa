-- name: state
SELECT version, goal, position, is_filled FROM rebuilds WHERE name = %(name)s

-- name: live
SELECT version, position FROM projections WHERE name = %(name)s

-- name: begin
INSERT INTO rebuilds (name, version, goal) VALUES (%(name)s, %(version)s, %(goal)s)

-- name: divide
INSERT INTO rebuild_parts (name, after, until)
SELECT %(name)s, after, least(after + %(part)s::bigint, %(goal)s::bigint)
FROM generate_series(0, %(goal)s::bigint - 1, %(part)s::bigint) AS after

-- name: filled
SELECT coalesce(sum(until - after), 0)::bigint AS filled FROM rebuild_parts WHERE name = %(name)s AND is_done

-- name: mark_filled
UPDATE rebuilds SET is_filled = true, position = goal WHERE name = %(name)s

-- name: advance
UPDATE rebuilds SET position = %(position)s WHERE name = %(name)s

-- name: forget
DELETE FROM rebuilds WHERE name = %(name)s

-- name: note
UPDATE projections SET last_rebuild = %(report)s::json WHERE name = %(name)s

-- name: create_schema
CREATE SCHEMA {schema}

-- name: drop_schema
DROP SCHEMA IF EXISTS {schema} CASCADE

-- name: create_table
CREATE TABLE {schema}.{table} (LIKE orchestrator.{table} INCLUDING ALL EXCLUDING INDEXES)

-- name: options
-- Properties that LIKE does not copy: storage parameters and privileges.
SELECT format('ALTER TABLE %%I.%%I SET (%%s)', %(schema)s::text, relname, array_to_string(reloptions, ', ')) AS statement
FROM pg_class
WHERE oid = format('orchestrator.%%I', %(table)s::text)::regclass AND reloptions IS NOT NULL
UNION ALL
SELECT format('GRANT %%s ON %%I.%%I TO %%s', a.privilege_type, %(schema)s::text, c.relname,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
WHERE c.oid = format('orchestrator.%%I', %(table)s::text)::regclass AND a.grantee <> c.relowner

-- name: indexes
-- The indexes of the live table under the same names, and the constraints that use them.
SELECT statement FROM (
    SELECT 1 AS turn,
           regexp_replace(pg_get_indexdef(i.indexrelid), ' ON orchestrator\.', format(' ON %%I.', %(schema)s::text))
               AS statement
    FROM pg_index AS i
    WHERE i.indrelid = format('orchestrator.%%I', %(table)s::text)::regclass
    UNION ALL
    SELECT 2, format('ALTER TABLE %%I.%%I ADD CONSTRAINT %%I %%s USING INDEX %%I', %(schema)s::text, %(table)s::text,
                     c.conname, CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, c.conname)
    FROM pg_constraint AS c
    WHERE c.conrelid = format('orchestrator.%%I', %(table)s::text)::regclass AND c.contype IN ('p', 'u')
) AS made
ORDER BY turn

-- name: analyze
ANALYZE {schema}.{table}

-- name: use_schema
SELECT set_config('search_path', %(schema)s || ', orchestrator', true)

-- name: no_lock_timeout
SET LOCAL lock_timeout = '1s'

-- name: one_moment
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: lock
SELECT position FROM projections WHERE name = %(name)s FOR UPDATE

-- name: compare
-- Compare rows byte by byte first; compare only the rows that differ as JSON, which is slower.
SELECT to_jsonb(old) AS old, to_jsonb(new) AS new, count(*) OVER () AS differing
FROM orchestrator.{table} AS old
FULL JOIN {schema}.{table} AS new USING ({key})
WHERE (old *<> new) IS NOT FALSE AND to_jsonb(old) IS DISTINCT FROM to_jsonb(new)
ORDER BY {key}
LIMIT %(limit)s

-- name: create_attic
CREATE SCHEMA {attic}

-- name: move_old
ALTER TABLE orchestrator.{table} SET SCHEMA {attic}

-- name: move_new
ALTER TABLE {schema}.{table} SET SCHEMA orchestrator

-- name: drop_attic
DROP SCHEMA {attic} CASCADE

-- name: set_version
WITH set AS (
    INSERT INTO projections (name, version, position) VALUES (%(name)s, %(version)s, %(position)s)
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, position = excluded.position, state = 'live', error = NULL, updated_at = now()
    RETURNING position
)
SELECT pg_notify('orchestrator_events', position::text) FROM set

-- name: exclusive
SELECT pg_try_advisory_lock(715002, hashtext(%(name)s)) AS locked

-- name: release
SELECT pg_advisory_unlock(715002, hashtext(%(name)s))
