"""The verbs about how long things are kept: retention apply, list, verify."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir


def apply_retention(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="What ended longer ago: 12h, 30d, 26w (ORCHESTRATOR_RETENTION_DAYS)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many runs would leave, and stay.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move old finished runs out of the log and the read models into archive files.

    What a cache entry or another run still needs stays. Killed half way, the next call goes on.

    Example: orchestrator retention apply --older-than 90d
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import archive_runs, print_retired

    settings = read_settings(need_data=True, data_dir=data_dir)
    print_retired(archive_runs(settings, older_than, dry_run=dry_run), as_json=as_json)


def list_archives(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the archive files: what each holds, and who took it out of the log when.

    Example: orchestrator retention list
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import find_archives, print_archives

    print_archives(find_archives(read_settings(need_data=True, data_dir=data_dir)), as_json=as_json)


def verify_archives(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Prove that every archive file holds what was taken out of the log; exit code 1 when one does not.

    Example: orchestrator retention verify
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.retention import find_faults, print_faults

    found = find_faults(read_settings(need_data=True, data_dir=data_dir))
    print_faults(found, as_json=as_json)
    if found["findings"]:
        raise typer.Exit(1)
