-- name: end_when_client_is_gone
-- By default a server sends the first keepalive after two idle hours. On a Unix socket these settings have no effect.
SELECT set_config('tcp_keepalives_idle', %(idle)s, false),
       set_config('tcp_keepalives_interval', %(interval)s, false),
       set_config('tcp_keepalives_count', %(count)s, false),
       set_config('tcp_user_timeout', %(timeout_ms)s, false)
