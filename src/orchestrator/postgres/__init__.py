"""Access to Postgres: connections, sessions, notifications, named SQL, migrations, and the embedded server."""
