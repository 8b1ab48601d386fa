"""The verb `migrate`: the only one that changes the schema of a configured database, besides `dev`."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, DataDir


def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: list what would be done. Exit code 1 if there is anything.")
    ] = False,
    to: Annotated[
        int | None, typer.Option("--to", min=1, metavar="N", help="Stop after migration N; all of them if not given.")
    ] = None,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            help="Let programs write what this release brought. Do this once no process of an older release is left.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schema of the database up to date.

    Processes of the release before may go on meanwhile, unless the changelog says otherwise. A migration that fails
    leaves nothing half done, and two that are started at once do not get in each other's way.

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
