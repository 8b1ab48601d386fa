-- name: end_when_client_is_gone
-- A server asks after a silent client only after two hours by default. On a Unix socket these have no effect.
SELECT set_config('tcp_keepalives_idle', %(idle)s, false),
       set_config('tcp_keepalives_interval', %(interval)s, false),
       set_config('tcp_keepalives_count', %(count)s, false),
       set_config('tcp_user_timeout', %(timeout_ms)s, false)
