"""The workflow commands: list, show, validate, register."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.completion import complete_workflow
from orchestrator.cli.options import AsJson, DataDir, Key, Server, Skills, Target, listed

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Workflow files, or directories of them."),
]


def list_workflows(
    *, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False
) -> None:
    """List the registered workflows.

    Example: orchestrator workflows list
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.reports import print_workflows

    print_workflows(ask(Target(data_dir, server, key), lambda client: client.workflows()), as_json=as_json)


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of a workflow.", autocompletion=complete_workflow)
    ],
    *,
    version: Annotated[
        str | None, typer.Option(help="Version of the workflow; by default the one registered last.")
    ] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show a workflow; with --json its complete definition.

    Example: orchestrator workflows show campaign.build.v1
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.reports import print_workflow

    print_workflow(ask(Target(data_dir, server, key), lambda client: client.workflow(name, version)), as_json=as_json)


def validate(files: Files, skills: Skills = None, as_json: AsJson = False) -> None:
    """Check workflow files without registering them, and list every fault. Exit code 1 if there is one.

    With --skills, also warn about steps whose skill is not loaded.

    Example: orchestrator workflows validate workflows/*.yaml --skills studio.skills
    """
    from orchestrator.cli.checks import check_files, print_checks
    from orchestrator.cli.inputs import read_settings

    checks = check_files(read_settings(skills=listed(skills)), files, with_skills=bool(skills))
    print_checks(checks, as_json=as_json)
    raise typer.Exit(0 if all(check.workflow is not None for check in checks) else 1)


def register(
    files: Files, *, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Register workflow files: all of them, or none if one is invalid.

    A version is immutable: registering the same content again is allowed, different content is refused.

    Example: orchestrator workflows register examples/campaign/campaign.build.v1.yaml
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.checks import print_registered, register_all
    from orchestrator.cli.definitions import find_definitions
    from orchestrator.cli.inputs import read_settings

    definitions = find_definitions(files, read_settings(data_dir=data_dir).max_attempts_bound)
    registered = ask(Target(data_dir, server, key), lambda client: register_all(client, definitions), need_data=False)
    print_registered(registered, as_json=as_json)
