-- name: queue
SELECT run_id::text, format, owner FROM run_queue ORDER BY number

-- name: topics
SELECT topic FROM events WHERE originator_id = %(run_id)s::uuid ORDER BY originator_version

-- name: raise_format
UPDATE run_queue SET format = %(format)s WHERE run_id = %(run_id)s::uuid RETURNING run_id
