"""Benchmarks: run with `make bench` or `python -m benchmarks`. Compare ratios; the machine is printed with them."""
