"""The artifact commands: list and prune."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.completion import complete_step
from orchestrator.cli.options import AsJson, DataDir, Key, RunId, Server, Target


def list_artifacts(
    run: RunId,
    *,
    step: Annotated[str | None, typer.Option(help="Only artifacts of this step.", autocompletion=complete_step)] = None,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the artifacts to DIR/STEP/FILENAME.")
    ] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the artifacts of a run, or copy them. `list` can be left out.

    Example: orchestrator artifacts list 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --download made/
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.downloads import found_artifacts
    from orchestrator.cli.output.reports import print_artifacts

    target = Target(data_dir, server, key)
    found = ask_about(target, run, lambda client, run_id: found_artifacts(client, run_id, step, download))
    print_artifacts(*found, as_json=as_json)


def prune_artifacts(
    *,
    older_than: Annotated[
        str,
        typer.Option(
            metavar="AGE",
            help="Remove only content that was stored longer ago: 12h, 30d. At least 1h, unless no worker is alive.",
        ),
    ] = "24h",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and report how much would be removed.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove content from the artifact store that no run, no cached result and no archive file names.

    It works beside running workers: what is newer than the oldest executing attempt stays.

    Example: orchestrator artifacts prune --older-than 7d --dry-run
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.artifacts import print_pruned, prune_content

    settings = read_settings(need_data=True, data_dir=data_dir)
    print_pruned(prune_content(settings, older_than, dry_run=dry_run), as_json=as_json)
