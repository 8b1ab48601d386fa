"""The same workloads as programs of the peers. Each runs in the peer's own environment, started by `process.py`."""
