"""The commands `wait` and `outputs`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_run, complete_step
from orchestrator.cli.options import AsJson, DataDir, Key, RunId, Server, Target

MAX_RUNS = 1000


def wait(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help=f"Up to {MAX_RUNS:,} runs: ids, their beginnings, @last, @last:WORKFLOW.",
            autocompletion=complete_run,
        ),
    ],
    *,
    timeout: Annotated[
        str | None, typer.Option(metavar="AGE", help="Wait no longer than this: 90s, 45m, 12h. The runs go on.")
    ] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Wait until runs have ended, with progress on stderr.

    Exit code: 0 all completed, 1 one failed, 130 one was cancelled and none failed, 124 the time was up.

    Example: orchestrator wait 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --timeout 10m
    """
    from orchestrator.cli.asking import ask_about_all
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_age
    from orchestrator.cli.output.reports import print_ended
    from orchestrator.cli.waiting import wait_for

    if len(runs) > MAX_RUNS:
        raise Complaint(f"{len(runs):,} runs are too many", f"Wait for at most {MAX_RUNS:,} at once.")
    seconds = None if timeout is None else read_age(timeout)
    target = Target(data_dir, server, key)
    waited = ask_about_all(target, runs, lambda client, ids: wait_for(client, ids, timeout_seconds=seconds))
    print_ended(waited.runs, as_json=as_json)
    raise typer.Exit(waited.exit_code)


def outputs(
    run: RunId,
    step: Annotated[
        str | None,
        typer.Argument(
            metavar="STEP",
            help="Only this step; by default all that no other depends on.",
            autocompletion=complete_step,
        ),
    ] = None,
    *,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run produced as JSON: the data of one step, or `{STEP: data}` of its last steps.

    With --json also the run's id, and the steps that have no result.

    Example: orchestrator outputs @last:campaign.build.v1
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.terminal import print_error, print_json
    from orchestrator.cli.results import read_results

    target = Target(data_dir, server, key)
    run_id, found = ask_about(target, run, lambda client, run_id: read_results(client, run_id, step))
    if as_json:
        print_json({"runId": run_id, "outputs": found.data, "missing": found.missing})
        return
    for name, status in found.missing.items():
        print_error(f"step {name} is {status} and has no output")
    print_json(found.data if step is None else found.data[step])
