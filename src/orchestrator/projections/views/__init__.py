"""Queries on the read models, and how their rows are shown."""
