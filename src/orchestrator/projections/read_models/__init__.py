"""The read models: the rows that are derived from a run."""
