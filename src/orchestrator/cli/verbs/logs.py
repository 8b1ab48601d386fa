"""The command `logs`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir, Key, RunId, Server, Target


def logs(
    run: RunId,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="The id of a step; by default, all steps.")] = None,
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
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.log_lines import LogPrinter

    run_id = read_run_id(run)
    printer = LogPrinter(run_id, as_json=as_json, follow=follow)
    ask(
        Target(data_dir, server, key),
        lambda client: printer.print_all(client.logs(run_id, step, attempt=attempt, follow=follow)),
    )
