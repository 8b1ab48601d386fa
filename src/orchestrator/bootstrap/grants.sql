-- The permissions that a process needs.

-- name: standing
SELECT current_user AS role, current_setting('transaction_read_only') = 'on' AS only_reads

-- name: lacking
SELECT needed.place, needed.privilege
FROM unnest(%(tables)s::text[], %(privileges)s::text[]) WITH ORDINALITY AS needed (place, privilege, number)
WHERE NOT has_table_privilege('orchestrator.' || needed.place, needed.privilege)
ORDER BY needed.number
