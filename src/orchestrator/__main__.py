"""Run the command line with `python -m orchestrator`, like the console script."""

from orchestrator.cli import main

main()
