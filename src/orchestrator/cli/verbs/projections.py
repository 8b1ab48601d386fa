"""The read model commands: list, rebuild, verify, retry, skip."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a read model; see `projections list`.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="Names of read models; see `projections list`.")
]
All = Annotated[bool, typer.Option("--all", help="All read models.")]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=64, metavar="N", help="Number of processes that read a long log; by default one per core."),
]


def list_projections(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the read models: version, position, lag and state.

    Example: orchestrator projections list
    """
    from orchestrator.cli.local.projections import show_standings

    show_standings(data_dir, as_json=as_json)


def rebuild(
    names: Names = None,
    *,
    every: All = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and only report the differences.")
    ] = False,
    processes: Processes = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild read models from the log next to the live ones, report the differences, and swap them.

    Readers see either the old or the new rows, and workers keep running. After Ctrl-C, the same command resumes.

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
    """Compare read models with the log and change nothing. Exit code 1 if rows differ from the log.

    Example: orchestrator projections verify --all
    """
    from orchestrator.cli.local.projections import rebuild_models

    rebuild_models(data_dir, tuple(names or ()), every=every, dry_run=True, processes=processes, as_json=as_json)


def retry_event(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Restart a stopped read model at the event that stopped it.

    Example: orchestrator projections retry runs
    """
    from orchestrator.cli.local.projections import retry

    retry(data_dir, name, as_json=as_json)


def skip_event(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Restart a stopped read model after the event that stopped it. The skip is recorded with its user and the error.

    Example: orchestrator projections skip runs
    """
    from orchestrator.cli.local.projections import skip

    skip(data_dir, name, as_json=as_json)
