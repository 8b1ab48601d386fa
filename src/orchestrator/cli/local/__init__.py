"""What verbs do on the database itself, without a server."""
