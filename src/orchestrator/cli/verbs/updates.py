"""The commands `update` and `retry`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import Annotated

import typer

from orchestrator.cli.options import AsJson, Change, DataDir, Force, Key, RunId, Server, Target


def update(
    run: RunId,
    change: Annotated[str, typer.Argument(metavar="TYPE", help="A change type of the workflow, or payload.patch.")],
    *,
    payload: Change = None,
    force: Force = None,
    force_all: Annotated[
        bool, typer.Option("--force-all", help="Execute all seed steps of the change without using the cache.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing, and show what would run and why.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="HASH", help="Update only if the plan still has this hash (see --plan).")
    ] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change a completed run: affected steps run again, the others are reused. Print the new run's id.

    Example: orchestrator update 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d audio.update --payload @audio.json --plan
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_payload, read_run_id
    from orchestrator.cli.output.plans import print_plan
    from orchestrator.cli.output.terminal import print_json, print_line

    run_id = read_run_id(run)
    given, forced = read_payload(payload), True if force_all else tuple(force or ())
    target = Target(data_dir, server, key)
    if plan:
        print_plan(ask(target, lambda client: client.plan(run_id, change, given, force=forced)), as_json=as_json)
        return
    accepted = ask(target, lambda client: client.update(run_id, change, given, force=forced, expected_plan_hash=expect))
    if as_json:
        print_json(accepted)
    else:
        print_line(accepted["runId"])


def retry(
    run: RunId, *, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Retry a failed or cancelled run, reusing its completed steps. Print the new run's id.

    Example: orchestrator retry 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.terminal import print_json, print_line

    run_id = read_run_id(run)
    accepted = ask(Target(data_dir, server, key), lambda client: client.retry(run_id))
    if as_json:
        print_json(accepted)
    else:
        print_line(accepted["runId"])
