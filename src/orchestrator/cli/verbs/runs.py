"""The run commands: trigger, cancel, status, steps, history, runs list and delete; and version."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import Annotated, Literal

import typer

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
)

StepStatus = Literal["pending", "running", "completed", "skipped", "failed", "cancelled"]
RunStatus = Literal["queued", "running", "blocked", "completed", "failed", "cancelled"]


def trigger(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The name of a registered workflow.")],
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
    from orchestrator.cli.output.terminal import print_json, print_line

    target, labels = Target(data_dir, server, key), read_labels(label)
    if each is not None:
        payloads = read_each(each, payload)
        trigger_each(
            target,
            workflow,
            payloads,
            version=version,
            labels=labels,
            priority=priority,
            no_cache=no_cache,
            force=force or (),
            as_json=as_json,
        )
        return
    given = read_payload(payload)
    accepted = ask(
        target,
        lambda client: client.trigger(
            workflow, given, version=version, labels=labels, priority=priority, no_cache=no_cache, force=force or ()
        ),
    )
    if as_json:
        print_json(accepted)
    else:
        print_line(accepted["runId"])


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
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.reports import print_run

    run_id = read_run_id(run)
    print_run(ask(Target(data_dir, server, key), lambda client: client.cancel(run_id, reason)), as_json=as_json)


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
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.reports import print_run, run_and_progress, watched_run

    run_id, target = read_run_id(run), Target(data_dir, server, key)
    if watch:
        print_run(ask(target, lambda client: watched_run(client, run_id)), as_json=as_json)
    elif as_json:
        print_run(ask(target, lambda client: client.run(run_id)), as_json=True)
    else:
        print_run(*ask(target, lambda client: run_and_progress(client, run_id)), as_json=False)


def steps(
    run: RunId,
    *,
    status: Annotated[StepStatus | None, typer.Option(help="Only steps with this status.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="STEP", help="Print only the output data of this step, as JSON.")
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
    from orchestrator.cli.asking import ask
    from orchestrator.cli.complaint import Complaint
    from orchestrator.cli.downloads import download_data
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.reports import print_downloaded, print_steps
    from orchestrator.cli.output.terminal import print_json

    run_id = read_run_id(run)
    if download is not None:
        if data is None:
            raise Complaint("--download writes the data of one step.", "Add --data STEP.")
        done = ask(Target(data_dir, server, key), lambda client: download_data(client, run_id, data, download))
        print_downloaded(done, as_json=as_json)
        return
    if data is not None:
        print_json(ask(Target(data_dir, server, key), lambda client: client.step_data(run_id, data)))
        return
    found = ask(Target(data_dir, server, key), lambda client: client.steps(run_id, status=status))
    print_steps(run_id, found, as_json=as_json)


def history(
    run: RunId, *, data_dir: DataDir = None, server: Server = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Show the recorded events of a run.

    Example: orchestrator history 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_run_id
    from orchestrator.cli.output.reports import found_events, print_history

    run_id = read_run_id(run)
    print_history(
        run_id, ask(Target(data_dir, server, key), lambda client: found_events(client, run_id)), as_json=as_json
    )


def list_runs(
    *,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs with this status.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Only runs of this workflow.")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only runs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of runs.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Continue a list after its last run (its nextCursor).")] = None,
    data_dir: DataDir = None,
    server: Server = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Example: orchestrator runs list --status failed --workflow campaign.build.v1
    """
    from orchestrator.cli.asking import ask
    from orchestrator.cli.inputs import read_labels
    from orchestrator.cli.output.reports import found_runs, print_runs

    wanted = next(iter(read_labels([label]).items())) if label else None
    page = ask(
        Target(data_dir, server, key),
        lambda client: found_runs(client, status=status, workflow=workflow, label=wanted, cursor=cursor, limit=limit),
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
