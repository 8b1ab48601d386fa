"""How it is watched: figures for Prometheus, and the ids of requests."""
