"""How it is watched: metrics for Prometheus, and the ids of requests."""
