"""The commands `update` and `retry`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import (
    AsJson,
    Change,
    DataDir,
    Force,
    Key,
    MoreLabels,
    OwnPriority,
    RunId,
    Server,
    Target,
    Wait,
)

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls
    from orchestrator.cli.waiting import Waited


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
    label: MoreLabels = None,
    priority: OwnPriority = None,
    wait: Wait = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change a completed run: affected steps run again, the others are reused. Print the new run's id.

    Example: orchestrator update 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d audio.update --payload @audio.json --plan
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.inputs import read_labels, read_payload
    from orchestrator.cli.output.accepted import Announcement
    from orchestrator.cli.output.plans import print_plan
    from orchestrator.cli.waiting import accepted_run

    given, forced = read_payload(payload), True if force_all else tuple(force or ())
    target, labels = Target(data_dir, server, key), read_labels(label) or None
    if plan:
        planned = ask_about(target, run, lambda client, run_id: client.plan(run_id, change, given, force=forced))
        print_plan(planned[1], as_json=as_json)
        return
    said = Announcement(as_json=as_json, wait=wait)

    async def make(client: "Calls", run_id: str) -> "Waited | None":
        accepted = await client.update(
            run_id, change, given, force=forced, priority=priority, labels=labels, expected_plan_hash=expect
        )
        return await accepted_run(client, accepted, wait=wait, on_accepted=said.accept)

    raise typer.Exit(said.end(ask_about(target, run, make)[1]))


def retry(
    run: RunId,
    *,
    label: MoreLabels = None,
    priority: OwnPriority = None,
    wait: Wait = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Retry a failed or cancelled run, reusing its completed steps. Print the new run's id.

    Example: orchestrator retry 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --wait
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.inputs import read_labels
    from orchestrator.cli.output.accepted import Announcement
    from orchestrator.cli.waiting import accepted_run

    labels, said = read_labels(label) or None, Announcement(as_json=as_json, wait=wait)

    async def make(client: "Calls", run_id: str) -> "Waited | None":
        accepted = await client.retry(run_id, priority=priority, labels=labels)
        return await accepted_run(client, accepted, wait=wait, on_accepted=said.accept)

    raise typer.Exit(said.end(ask_about(Target(data_dir, server, key), run, make)[1]))
