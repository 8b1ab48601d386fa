"""The workloads as programs for the peers. `process.py` starts each one in the peer's own environment."""
