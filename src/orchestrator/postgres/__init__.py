"""The Postgres toolkit: connections, sessions, notifications, named SQL, migrations, the embedded server."""
