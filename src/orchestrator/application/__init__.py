"""The application layer: the calls of the orchestrator, shared by the HTTP API, the command line and tests."""
