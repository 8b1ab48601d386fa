"""The step cache commands: stats, list, explain, invalidate, prune."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.completion import complete_step
from orchestrator.cli.options import AsJson, DataDir, Key, RunId, Server, Target

Workflow = Annotated[str | None, typer.Option(metavar="NAME", help="Only results of this workflow.")]
Step = Annotated[str | None, typer.Option(metavar="STEP", help="Only results of this step.")]


def stats(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show how many results each step has in the cache, and their ages.

    Example: orchestrator cache stats
    """
    from orchestrator.cli.asking import ask_here
    from orchestrator.cli.output.cache import print_stats

    print_stats(ask_here(data_dir, lambda client: client.cache.stats()), as_json=as_json)


def list_entries(
    *,
    workflow: Workflow = None,
    step: Step = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of results.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List cached results with their keys, newest first.

    Example: orchestrator cache list --workflow campaign.build.v1 --step mix_audio_for_game
    """
    from orchestrator.cli.asking import ask_here
    from orchestrator.cli.output.cache import print_entries

    found = ask_here(data_dir, lambda client: client.cache.entries(workflow=workflow, step=step, limit=limit))
    print_entries(found, as_json=as_json)


def explain(
    run: RunId,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="A step of the run's workflow.", autocompletion=complete_step)
    ],
    *,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Explain why a step was or was not taken from the cache, and which input field differed.

    Example: orchestrator cache explain 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d mix_audio_for_game
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.cache import explanation, print_explanation

    target = Target(data_dir, server, key)
    _, found = ask_about(target, run, lambda client, run_id: explanation(client, run_id, step))
    print_explanation(found, as_json=as_json)


def invalidate(
    *,
    key: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Result with this key. Can be repeated.")] = None,
    workflow: Annotated[str | None, typer.Option(metavar="NAME", help="All results of this workflow.")] = None,
    step: Annotated[
        str | None, typer.Option(metavar="STEP", help="With --workflow: only results of this step.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the log.")] = "invalidated by hand",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Invalidate cached results, so that no other run uses them. Runs that already use them keep them.

    Example: orchestrator cache invalidate --workflow campaign.build.v1 --step mix_audio_for_game
    """
    from orchestrator.cli.asking import ask_here
    from orchestrator.cli.inputs import require_place
    from orchestrator.cli.output.cache import print_withdrawn

    keys = tuple(key or ())
    require_place(keys, workflow, step)
    withdrawn = ask_here(
        data_dir, lambda client: client.cache.invalidate(keys=keys, workflow=workflow, step=step, reason=reason)
    )
    print_withdrawn(withdrawn, as_json=as_json)


def prune(
    *,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove results older than this: 90s, 45m, 12h, 30d.")
    ] = None,
    max_entries: Annotated[
        int | None, typer.Option(min=0, max=10**12, metavar="N", help="Keep only the newest N results.")
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Keep only the newest results, up to this total size: 500kB, 10GB, 2GiB."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove old results to keep the cache within limits. Artifacts stay, because runs refer to them.

    Example: orchestrator cache prune --older-than 30d --max-size 10GB
    """
    from orchestrator.cli.asking import ask_here
    from orchestrator.cli.inputs import read_limits
    from orchestrator.cli.output.cache import print_withdrawn

    limits = read_limits(older_than, max_entries, max_size)
    print_withdrawn(ask_here(data_dir, lambda client: client.cache.prune(**limits)), as_json=as_json)
