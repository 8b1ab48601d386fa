-- name: use_schema
SELECT set_config('search_path', 'orchestrator', true)

-- name: create
CREATE TABLE IF NOT EXISTS {table} ({definitions}, PRIMARY KEY ({key}))

-- name: add_column
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind}

-- name: comment
COMMENT ON TABLE {table} IS {comment}

-- name: upsert
INSERT INTO {table} ({columns})
SELECT {columns} FROM json_to_recordset($1) AS n ({definitions})
ON CONFLICT ({key}) DO UPDATE SET {changes}
