"""The verbs replay and diff: the past of runs."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir, RunId

At = "A version of its history, or a time like 2026-01-31T12:00:00Z"


def replay(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The id of a run; none with --all.")] = None,
    *,
    at: Annotated[str | None, typer.Option(metavar="MOMENT", help=f"{At}; now when not given.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Walk through it, event by event.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask of every event whether this program would decide it; 1 if not.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --check: every run there is.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a run as it was at any moment, or check its events against this program.

    Example: orchestrator replay 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --at 12
    """
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_run_id, read_settings
    from orchestrator.cli.local.replay import check_histories, load_frames, load_moment
    from orchestrator.cli.output.replay import print_check, print_frames, print_moment

    if (run is None) != every:
        raise Complaint("No run given", "Name one, or give --check --all for every run.")
    if check and (step or at is not None):
        raise Complaint("A history is checked from beginning to end", "Leave out --at and --step.")
    if every and not check:
        raise Complaint("Only --check goes through all runs", "Give --check --all, or name a run.")
    settings = read_settings(need_data=True, data_dir=data_dir)
    run_id = None if run is None else read_run_id(run)
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
    other: Annotated[str | None, typer.Argument(metavar="[RUN_B]", help="Another run.")] = None,
    *,
    at: Annotated[list[str] | None, typer.Option(metavar="MOMENT", help=f"{At}; of one run, give it twice.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, or two moments of one run, step by step.

    Example: orchestrator diff 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --at 5 --at 12
    """
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_run_id, read_settings
    from orchestrator.cli.local.replay import compare_moments
    from orchestrator.cli.output.replay import print_comparison

    moments: list[str | None] = [*(at or [])]
    if (other is None and len(moments) != 2) or len(moments) > 2:
        raise Complaint("Two moments are needed", "Name two runs, or one run and --at MOMENT --at MOMENT.")
    first, second = (*moments, None, None)[:2]
    settings = read_settings(need_data=True, data_dir=data_dir)
    ours = read_run_id(run)
    theirs = ours if other is None else read_run_id(other)
    print_comparison(compare_moments(settings, (ours, first), (theirs, second)), as_json=as_json)
