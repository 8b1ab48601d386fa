"""What can be asked of the orchestrator, the same for HTTP, the terminal and tests."""
