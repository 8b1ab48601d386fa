"""The read models: which rows follow from a run."""
