"""Processes that serve: sockets, HTTP with bounds, start and stop."""
