"""Benchmarks: run with `make bench` or `python -m benchmarks`. Figures are ratios; the machine is printed with them."""
