-- name: pending
SELECT count(*) FROM dbos.workflow_status WHERE status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED')

-- name: recorded
SELECT count(*) FROM dbos.operation_outputs
