"""Queries on the read models, and the views of their rows."""
