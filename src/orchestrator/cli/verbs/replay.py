"""The commands `replay` and `diff`: past states of runs."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_run
from orchestrator.cli.options import AsJson, DataDir, RunId

At = "Version of the run's history, or a time such as 2026-01-31T12:00:00Z"


def replay(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="The id of a run, or its beginning; omit it with --all.", autocompletion=complete_run
        ),
    ] = None,
    *,
    at: Annotated[str | None, typer.Option(metavar="MOMENT", help=f"{At}; by default the current state.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Step through the run event by event.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check that this program would make the same decisions; exit code 1 if not.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --check: all runs.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a run as it was at any moment, or check its events against this program.

    Example: orchestrator replay 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --at 12
    """
    from orchestrator.cli.asking import find_runs_here
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.replay import check_histories, load_frames, load_moment
    from orchestrator.cli.output.replay import print_check, print_frames, print_moment

    if (run is None) != every:
        raise Complaint("No run given", "Give a run, or --check --all for all runs.")
    if check and (step or at is not None):
        raise Complaint("--check cannot be combined with --at or --step", "Leave them out.")
    if every and not check:
        raise Complaint("--all needs --check", "Give --check --all, or a run.")
    settings = read_settings(need_data=True, data_dir=data_dir)
    run_id = None if run is None else find_runs_here(data_dir, run)[0]
    if check:
        checked = check_histories(settings, run_id)
        print_check(checked, as_json=as_json)
        if checked.faults:
            raise typer.Exit(1)
    elif run_id is not None and step:
        print_frames(run_id, load_frames(settings, run_id, at), as_json=as_json)
    elif run_id is not None:
        print_moment(load_moment(settings, run_id, at), as_json=as_json)


def diff(
    run: RunId,
    other: Annotated[
        str | None, typer.Argument(metavar="RUN_B", help="The run to compare with.", autocompletion=complete_run)
    ] = None,
    *,
    at: Annotated[list[str] | None, typer.Option(metavar="MOMENT", help=f"{At}. With one run, give it twice.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, or two moments of one run, step by step.

    Example: orchestrator diff 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --at 5 --at 12
    """
    from orchestrator.cli.asking import find_runs_here
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.replay import compare_moments
    from orchestrator.cli.output.replay import print_comparison

    moments: list[str | None] = [*(at or [])]
    if (other is None and len(moments) != 2) or len(moments) > 2:
        raise Complaint("Two moments to compare are needed", "Give two runs, or one run and --at MOMENT --at MOMENT.")
    first, second = (*moments, None, None)[:2]
    settings = read_settings(need_data=True, data_dir=data_dir)
    ours, theirs = find_runs_here(data_dir, run, run if other is None else other)
    print_comparison(compare_moments(settings, (ours, first), (theirs, second)), as_json=as_json)
