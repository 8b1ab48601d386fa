"""Read models made from the log, and the queries behind the status endpoints.

`contract` defines what a read model is; `runs`, `run_steps` and `artifacts` are the three that the projector keeps up
to date; `history` folds runs for them; `reader` queries their tables.
"""
