-- name: read
COPY orchestrator.{table} TO STDOUT

-- name: like
CREATE TABLE public.like_table (LIKE orchestrator.{table} INCLUDING ALL)

-- name: write
COPY public.like_table FROM STDIN

-- name: drop
DROP TABLE public.like_table
