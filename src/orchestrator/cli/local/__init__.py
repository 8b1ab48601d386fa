"""Commands that work on the database itself, without a server."""
