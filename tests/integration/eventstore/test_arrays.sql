-- name: echo
SELECT %b, %b, %b, %b
