-- name: configure
SELECT set_config('statement_timeout', %(timeout_ms)s, false),
       set_config('idle_in_transaction_session_timeout', %(timeout_ms)s, false),
       set_config('lock_timeout', '0', false),  -- only the statement timeout applies, whatever the role has set
       set_config('search_path', 'orchestrator', false)

-- name: no_deadline
SET LOCAL statement_timeout = 0
