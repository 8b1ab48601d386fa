"""The command `logs`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.completion import complete_step
from orchestrator.cli.options import AsJson, DataDir, Key, RunId, Server, Target

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls


def logs(
    run: RunId,
    step: Annotated[
        str | None,
        typer.Argument(metavar="STEP", help="The id of a step; by default, all steps.", autocompletion=complete_step),
    ] = None,
    *,
    attempt: Annotated[int | None, typer.Option(min=1, max=2**31 - 1, help="Only lines of this attempt.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new lines until the run, step or attempt is over.")
    ] = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what the skills of a run printed and logged.

    With --json, the answer is one document. With --follow and --json, each line is a document of its own.

    Example: orchestrator logs 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d render --follow
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.log_lines import LogPrinter

    async def print_all(client: "Calls", run_id: str) -> None:
        printer = LogPrinter(run_id, as_json=as_json, follow=follow)
        await printer.print_all(client.logs(run_id, step, attempt=attempt, follow=follow))

    ask_about(Target(data_dir, server, key), run, print_all)
