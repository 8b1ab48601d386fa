"""The verbs about read models: list, rebuild, verify, retry, skip."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir

Name = Annotated[str, typer.Argument(metavar="NAME", help="A read model; `projections list` shows them.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Read models.")]
All = Annotated[bool, typer.Option("--all", help="Every read model.")]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=64, metavar="N", help="Processes that read a long log; as many as there are cores."),
]


def list_projections(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the read models: version, position, how far they are behind, and in which state.

    Example: orchestrator projections list
    """
    from orchestrator.cli.local.projections import show_standings

    show_standings(data_dir, as_json=as_json)


def rebuild(
    names: Names = None,
    *,
    every: All = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only compare: report the differences and change nothing.")
    ] = False,
    processes: Processes = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild read models from the log beside the live ones, report what was different, and swap them.

    Readers see the old or the new rows, workers go on. Ctrl-C interrupts; the same command goes on from there.

    Example: orchestrator projections rebuild runs
    """
    from orchestrator.cli.local.projections import rebuild_models

    rebuild_models(data_dir, tuple(names or ()), every=every, dry_run=dry_run, processes=processes, as_json=as_json)


def verify(
    names: Names = None,
    *,
    every: All = False,
    processes: Processes = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare read models with the log and change nothing. Exit code 1 says that rows are not what the log says.

    Example: orchestrator projections verify --all
    """
    from orchestrator.cli.local.projections import rebuild_models

    rebuild_models(data_dir, tuple(names or ()), every=every, dry_run=True, processes=processes, as_json=as_json)


def retry_event(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let a stopped read model try the event again that it stopped at.

    Example: orchestrator projections retry runs
    """
    from orchestrator.cli.local.projections import retry

    retry(data_dir, name, as_json=as_json)


def skip_event(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Send a stopped read model past the event that it stopped at; who did so and why it stopped is kept.

    Example: orchestrator projections skip runs
    """
    from orchestrator.cli.local.projections import skip

    skip(data_dir, name, as_json=as_json)
