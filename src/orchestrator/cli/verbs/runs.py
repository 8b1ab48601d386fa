"""The run commands: trigger, cancel, status, steps, history, runs list and delete; and version."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.completion import complete_step, complete_workflow
from orchestrator.cli.options import (
    AsJson,
    DataDir,
    Each,
    Force,
    Key,
    Labels,
    NoCache,
    Payload,
    Priority,
    RunId,
    Server,
    Target,
    Wait,
)

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls
    from orchestrator.cli.waiting import Waited

StepStatus = Literal["pending", "running", "completed", "skipped", "omitted", "failed", "cancelled"]
RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]


def trigger(
    workflow: Annotated[
        str,
        typer.Argument(metavar="WORKFLOW", help="The name of a registered workflow.", autocompletion=complete_workflow),
    ],
    *,
    payload: Payload = None,
    each: Each = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the workflow; by default the one registered last.")
    ] = None,
    label: Labels = None,
    priority: Priority = 0,
    no_cache: NoCache = False,
    force: Force = None,
    wait: Wait = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Queue a run, or one for each line of a file, and print the run ids. A worker executes them.

    Example: orchestrator trigger campaign.build.v1 --payload @brief.json --label client=acme
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.batches import trigger_each
    from orchestrator.cli.inputs import read_each, read_labels, read_payload
    from orchestrator.cli.output.accepted import Announcement
    from orchestrator.cli.waiting import accepted_run

    target, labels = Target(data_dir, server, key), read_labels(label)
    if each is not None:
        code = trigger_each(
            target,
            workflow,
            read_each(each, payload),
            version=version,
            labels=labels,
            priority=priority,
            no_cache=no_cache,
            force=force or (),
            wait=wait,
            as_json=as_json,
        )
        raise typer.Exit(code)
    given, said = read_payload(payload), Announcement(as_json=as_json, wait=wait)

    async def make(client: "Calls") -> "Waited | None":
        accepted = await client.trigger(
            workflow, given, version=version, labels=labels, priority=priority, no_cache=no_cache, force=force or ()
        )
        return await accepted_run(client, accepted, wait=wait, on_accepted=said.accept)

    raise typer.Exit(said.end(ask(target, make)))


def cancel(
    run: RunId,
    *,
    reason: Annotated[str | None, typer.Option(help="Reason, recorded with the run.")] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a run immediately. Its completed steps are kept.

    Example: orchestrator cancel 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --reason "wrong brief"
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.reports import print_run

    target = Target(data_dir, server, key)
    _, cancelled = ask_about(target, run, lambda client, run_id: client.cancel(run_id, reason))
    print_run(cancelled, as_json=as_json)


def status(
    run: RunId,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the run until it ends.")] = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a run.

    Example: orchestrator status 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --watch
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.reports import print_run, run_and_progress, watched_run

    target = Target(data_dir, server, key)
    if watch:
        print_run(ask_about(target, run, watched_run)[1], as_json=as_json)
    elif as_json:
        print_run(ask_about(target, run, lambda client, run_id: client.run(run_id))[1], as_json=True)
    else:
        print_run(*ask_about(target, run, run_and_progress)[1], as_json=False)


def steps(
    run: RunId,
    *,
    status: Annotated[StepStatus | None, typer.Option(help="Only steps with this status.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="STEP",
            help="Print only the output data of this step, as JSON.",
            autocompletion=complete_step,
        ),
    ] = None,
    download: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the data of --data STEP to a file instead.")
    ] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the steps of a run, or print or download the output data of one.

    Example: orchestrator steps 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --data make --download data.json
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.downloads import download_data
    from orchestrator.cli.output.reports import print_downloaded, print_steps
    from orchestrator.cli.output.terminal import print_json

    target = Target(data_dir, server, key)
    if download is not None:
        if data is None:
            raise Complaint("--download writes the data of one step.", "Add --data STEP.")
        done = ask_about(target, run, lambda client, run_id: download_data(client, run_id, data, download))[1]
        print_downloaded(done, as_json=as_json)
        return
    if data is not None:
        print_json(ask_about(target, run, lambda client, run_id: client.step_data(run_id, data))[1])
        return
    found = ask_about(target, run, lambda client, run_id: client.steps(run_id, status=status))
    print_steps(*found, as_json=as_json)


def history(
    run: RunId, *, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Show the recorded events of a run.

    Example: orchestrator history 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d
    """
    from orchestrator.cli.asking import ask_about
    from orchestrator.cli.output.reports import found_events, print_history

    print_history(*ask_about(Target(data_dir, server, key), run, found_events), as_json=as_json)


def list_runs(
    *,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs with this status.")] = None,
    workflow: Annotated[
        str | None, typer.Option(help="Only runs of this workflow.", autocompletion=complete_workflow)
    ] = None,
    version: Annotated[str | None, typer.Option(help="With --workflow: only runs of this version.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="AGE|TIME", help="Only runs triggered since: 45m, 12h, 30d, or 2026-01-31T12:00:00Z."),
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only runs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of runs.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Continue a list after its last run (its nextCursor).")] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Example: orchestrator runs list --status failed --workflow campaign.build.v1 --since 12h
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.inputs import read_labels, read_since
    from orchestrator.cli.output.reports import found_runs, print_runs

    if version is not None and workflow is None:
        raise Complaint("--version needs --workflow", "Versions of different workflows are unrelated.")
    filters: dict[str, Any] = {
        "status": status,
        "since": None if since is None else read_since(since),
        "label": next(iter(read_labels([label]).items())) if label else None,
    }
    page = ask(
        Target(data_dir, server, key),
        lambda client: found_runs(client, workflow=workflow, version=version, cursor=cursor, limit=limit, **filters),
    )
    print_runs(page, as_json=as_json)


def delete_run(
    run: RunId,
    *,
    reason: Annotated[str, typer.Option(help="Why the run is deleted. It is recorded for good.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Delete a finished run for good: its events, results, artifacts and cached results.

    What stays is a tombstone with the digests of its events, and who deleted it, when and why.

    Example: orchestrator runs delete 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d --reason "request 4711" --yes
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id, require_yes
    from orchestrator.cli.output.reports import print_deleted

    run_id = read_run_id(run)
    require_yes(f"Delete run {run_id} for good?", yes=yes)
    print_deleted(
        ask(Target(data_dir, server, key), lambda client: client.delete_run(run_id, reason=reason)), as_json=as_json
    )


def version(as_json: AsJson = False) -> None:
    """Show the version of this program.

    Example: orchestrator version
    """
    import platform
    from importlib import metadata

    from orchestrator.cli.output.terminal import print_json, print_line

    found = {"version": metadata.version("orchestrator"), "python": platform.python_version()}
    if as_json:
        print_json(found)
    else:
        print_line(f"orchestrator {found['version']} (Python {found['python']})")
