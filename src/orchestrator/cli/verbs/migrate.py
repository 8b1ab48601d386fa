"""The command `migrate`: the only one besides `dev` that changes the schema of a configured database."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir


def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing, and list what is due. Exit code 1 if anything is due.")
    ] = False,
    to: Annotated[
        int | None, typer.Option("--to", min=1, metavar="N", help="Stop after migration N; by default apply all.")
    ] = None,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="Let programs write what this release added to the log. "
            "Use it when no process of an older release is left.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schema of the database up to date.

    Processes of the previous release can keep running, unless the changelog says otherwise. A failed migration is
    rolled back. It is safe to start this command twice at the same time.

    Example: orchestrator migrate --check
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.migrations import MigrationOrder, look, print_due, print_migrated, work

    settings = read_settings(need_data=True, data_dir=data_dir)
    order = MigrationOrder(to, finish)
    if not check:
        print_migrated(work(settings, order), as_json=as_json)
        return
    due = look(settings, order)
    print_due(due, as_json=as_json)
    if due.is_anything:
        raise typer.Exit(1)
