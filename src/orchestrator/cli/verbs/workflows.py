"""The workflow commands: list, show, validate, register, retire, restore."""
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


Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a workflow.", autocompletion=complete_workflow)]


def list_workflows(
    *,
    retired: Annotated[
        bool, typer.Option("--retired", help="Also list workflows whose versions are all retired.")
    ] = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the registered workflows.

    Example: orchestrator workflows list
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.reports import print_workflows

    print_workflows(
        ask(Target(data_dir, server, key), lambda client: client.workflows(retired=retired)), as_json=as_json
    )


def show(
    name: Name,
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


def retire(
    name: Name,
    *,
    version: Annotated[str | None, typer.Option(help="A version; by default, all versions registered so far.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why. Shown to those who trigger the workflow.")] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Retire a workflow: it takes no new runs. Runs that were triggered before go on.

    A version that is registered later takes runs. `workflows restore` undoes it.

    Example: orchestrator workflows retire campaign.build.v1 --reason "use campaign.build.v2"
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.reports import print_changed_versions

    target = Target(data_dir, server, key)
    changed = ask(target, lambda client: client.retire_workflow(name, version=version, reason=reason))
    print_changed_versions(changed, "retired", as_json=as_json)


def restore(
    name: Name,
    *,
    version: Annotated[str | None, typer.Option(help="A version; by default, every retired version.")] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Let a retired workflow take runs again.

    Example: orchestrator workflows restore campaign.build.v1
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.output.reports import print_changed_versions

    changed = ask(Target(data_dir, server, key), lambda client: client.restore_workflow(name, version=version))
    print_changed_versions(changed, "restored", as_json=as_json)
