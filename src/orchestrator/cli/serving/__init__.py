"""Processes that serve: sockets, HTTP with limits, start and stop."""
