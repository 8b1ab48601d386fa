"""The retention commands: apply, list, verify."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir


def apply_retention(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE", help="Archive runs that ended longer ago: 12h, 30d, 26w (env: ORCHESTRATOR_RETENTION_DAYS)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and report how many runs would be archived.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move old finished runs out of the log and the read models into archive files.

    Runs that a cache entry or another run still needs are kept. If interrupted, run the command again to resume.

    Example: orchestrator retention apply --older-than 90d
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import archive_runs, print_retired

    settings = read_settings(need_data=True, data_dir=data_dir)
    print_retired(archive_runs(settings, older_than, dry_run=dry_run), as_json=as_json)


def list_archives(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the archive files: contents, and who archived them when.

    Example: orchestrator retention list
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import find_archives, print_archives

    print_archives(find_archives(read_settings(need_data=True, data_dir=data_dir)), as_json=as_json)


def verify_archives(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Verify that every archive file holds the events that left the log. Exit code 1 if one does not.

    Example: orchestrator retention verify
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import find_faults, print_faults

    found = find_faults(read_settings(need_data=True, data_dir=data_dir))
    print_faults(found, as_json=as_json)
    if found["findings"]:
        raise typer.Exit(1)
