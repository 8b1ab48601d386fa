"""Alternatives to the orchestrator, measured with the same graph and, where possible, the same Postgres."""
