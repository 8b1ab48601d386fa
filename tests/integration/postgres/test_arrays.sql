-- name: echo
SELECT json_build_array($1, $2, $3, $4)

-- name: number
SELECT $1 + 1
