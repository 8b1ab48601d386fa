"""The verb `step`."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.complaint import Complaint


def step(
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Read the attempt from this file instead of stdin.")
    ] = None,
) -> None:
    """Execute one attempt that an executor was given, and write its record to the artifact store.

    It reads JSON and prints JSON. The skills come from installed packages and ORCHESTRATOR_SKILLS. SIGTERM asks the
    skill to stop, and kills it after 5 seconds. Exit code 1: there is no record, and `reason` says why.

    Example: orchestrator step --file attempt.json
    """
    from orchestrator.cli.output.terminal import print_json
    from orchestrator.clusters.entry import ended_from_json, execute
    from orchestrator.clusters.forms import InvalidForm

    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
        ended = ended_from_json(answer := execute(text, lambda: "stop" if asked else None))
    except InvalidForm as error:
        raise Complaint(f"Invalid attempt: {error}") from error
    import orjson

    print_json(orjson.loads(answer))
    raise typer.Exit(0 if ended.reason is None else 1)
