"""The HTTP API: thin endpoints around the application commands and the reader of the read models."""
