"""Output of the run and workflow commands."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orchestrator.cli.complaint import unknown
from orchestrator.cli.output.blocks import print_facts
from orchestrator.cli.output.reasons import print_reasons
from orchestrator.cli.output.terminal import (
    between,
    counted,
    duration,
    open_console,
    print_json,
    print_line,
    print_table,
    size,
    styled,
)
from orchestrator.cli.output.watch import load_progress, watch

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

Document = Mapping[str, Any]

_PAGE = 200
_PREVIEW_CHARACTERS = 40


async def watched_run(client: "Calls", run_id: str) -> Document:
    """Show a run until it ends, and return it."""
    await watch(client, await load_progress(client, run_id))
    return await client.run(run_id)


async def found_runs(client: "Calls", *, workflow: str | None, version: str | None = None, **filters: Any) -> Document:
    """Return a page of runs.

    Raises:
        Complaint: there are none because the workflow does not exist.
        WorkflowNotFound: there are none because the workflow does not have this version.
    """
    page = await _run_page(client, workflow=workflow, version=version, **filters)
    if workflow is not None and not page["runs"]:
        names = [each["workflowName"] for each in await client.workflows()]
        if workflow not in names:
            raise unknown("workflow", workflow, names, "List workflows with `orchestrator workflows list`.")
        if version is not None:
            await client.workflow(workflow, version)
    return page


async def _run_page(client: "Calls", *, cursor: str | None, limit: int, **filters: Any) -> Document:
    """Return up to `limit` runs, fetched in as many pages as necessary."""
    found: list[Document] = []
    while True:
        page = await client.run_page(cursor=cursor, limit=min(_PAGE, limit - len(found)), **filters)
        found += page["runs"]
        cursor = page["nextCursor"]
        if cursor is None or len(found) >= limit:
            return {"runs": found, "nextCursor": cursor}


async def run_and_progress(client: "Calls", run_id: str) -> tuple[Document, Sequence[Document]]:
    """Return a run and its executing steps."""
    run = await client.run(run_id)
    return run, await client.steps(run_id, status="running") if run["stepsSummary"]["running"] else []


def print_run(run: Document, executing: Sequence[Document] = (), *, as_json: bool) -> None:
    """Print a run's state and the progress of its executing steps."""
    if as_json:
        print_json(run)
        return
    counts = run["stepsSummary"]
    facts: dict[str, str | Text] = {
        "run": run["id"],
        "workflow": f"{run['workflowName']} {run['workflowVersion']}",
        "status": styled(run["status"]),
        "steps": f"{counts['total']}: " + ", ".join(_count_words(counts)),
        "triggered": f"{run['createdAt']} ({run['triggerType']})",
        "base run": run["baseRunId"] or "",
        "started": run["startedAt"] or "",
        "ended": run["completedAt"] or "",
        "took": duration(between(run["startedAt"], run["completedAt"])),
        "labels": _labels(run["labels"]),
        "priority": str(run["priority"] or ""),
        "executing": "\n".join(f"{step['stepId']} {progress_words(step)}".rstrip() for step in executing),
        "missing skills": ", ".join(run["missingSkills"] or ()),
    }
    if run["error"]:
        facts["error"] = error_words(run["error"])
        facts["failed step"] = run["error"]["failedStepId"] or ""
    console = open_console()
    print_facts(console, facts)
    if run["error"]:
        print_reasons(console, [(run["error"]["failedStepId"] or "run", run["error"])])


def _count_words(counts: Mapping[str, int]) -> list[str]:
    return [f"{number} {status}" for status, number in counts.items() if status != "total" and number]


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def print_ended(runs: Sequence[Document], *, as_json: bool) -> None:
    """Print runs that were waited for: their documents, or a line for each with its status."""
    if as_json:
        print_json({"runs": runs})
        return
    for run in runs:
        print_line(f"{run['id']} {run['status']}")


def print_runs(page: Document, *, as_json: bool) -> None:
    """Print a page of runs."""
    if as_json:
        print_json(page)
        return
    rows: list[Sequence[Text | str]] = [
        (
            run["id"],
            styled(run["status"]),
            f"{run['workflowName']} {run['workflowVersion']}",
            ", ".join(_count_words(run["stepsSummary"])),
            run["createdAt"],
            duration(between(run["startedAt"], run["completedAt"])),
            _labels(run["labels"]),
        )
        for run in page["runs"]
    ]
    print_table(("run", "status", "workflow", "steps", "triggered", ">took", "labels"), rows, empty="no runs")
    if page["nextCursor"]:
        print_line(f"more runs: --cursor {page['nextCursor']}")


def print_steps(run_id: str, steps: Sequence[Document], *, as_json: bool) -> None:
    """Print the steps of a run."""
    if as_json:
        print_json({"runId": run_id, "steps": steps})
        return
    print_table(("step", "status", ">took", ">attempt", "skill", "note"), map(_step_row, steps), empty="no steps")
    failures = [(f"{step['stepId']} (attempt {step['attempt']})", step["error"]) for step in steps if step["error"]]
    print_reasons(open_console(), failures)


def _step_row(step: Document) -> Sequence[Text | str]:
    note = ""
    if step["error"] and step["status"] != "completed":
        note = error_words(step["error"])
    elif step.get("omittedBecause"):
        note = step["omittedBecause"]
    elif step["hitReason"]:
        note = f"{step['hitReason']}, made by run {step['reusedFromRunId']}"
    elif step["status"] == "running" and (step["progress"] or step["progressMessage"]):
        note = progress_words(step)
    elif step["attempts"]:
        past = step["attempts"][-1]
        note = f"attempt {past['number']} failed: {error_words(past['error'])}"
    elif step["dataRef"]:
        note = f"{size(step['dataRef']['sizeBytes'])} of data: {_beginning(step.get('dataPreview'))}"
    attempt = str(step["attempt"]) if step["startedAt"] and not step["cacheHit"] else ""
    return step["stepId"], styled(step["status"]), duration(step["durationMs"]), attempt, step["skillId"], note


def _beginning(preview: str | None) -> str:
    """Return the first characters of the JSON text of large data."""
    return "" if preview is None else f"{preview[:_PREVIEW_CHARACTERS]}…"


def print_downloaded(downloaded: Document, *, as_json: bool) -> None:
    """Print where data was written to."""
    if as_json:
        print_json(downloaded)
    else:
        print_line(f"{downloaded['path']} ({size(downloaded['sizeBytes'])})")


def progress_words(step: Document) -> str:
    """Return the progress that a skill reported for the current attempt, or an empty string."""
    if not step["progress"] and not step["progressMessage"]:
        return ""
    return f"{step['progress'] or 0:.0%} {step['progressMessage'] or ''}".rstrip()


def print_artifacts(run_id: str, artifacts: Sequence[Document], *, as_json: bool) -> None:
    """Print the artifacts of a run, with the paths they were copied to or their URIs."""
    if as_json:
        print_json({"runId": run_id, "artifacts": artifacts})
        return
    rows = [
        (
            each["stepId"],
            each["filename"] or "",
            each["type"],
            size(each["sizeBytes"]),
            each.get("path") or each["uri"],
        )
        for each in artifacts
    ]
    print_table(("step", "file", "type", ">size", "location"), rows, empty="no artifacts")


async def found_events(client: "Calls", run_id: str) -> list[Document]:
    """Return the events of a run recorded so far."""
    return [event async for event in client.history(run_id)]


def print_history(run_id: str, events: Sequence[Document], *, as_json: bool) -> None:
    """Print the events of a run."""
    if as_json:
        print_json({"runId": run_id, "events": events})
        return
    rows = [
        (str(event["version"]), event["at"], event["type"], event_words(event["data"]), event["actor"])
        for event in events
    ]
    print_table((">", "at", "event", "", "by"), rows)
    failures = [
        (f"{event['data']['step']} (attempt {event['data']['attempt']})", event["data"]["error"])
        for event in events
        if event["type"] == "StepFailed"
    ]
    print_reasons(open_console(), failures)


_SUMMARY_FIELDS = (
    "step",
    "attempt",
    "nextAttempt",
    "durationMs",
    "reason",
    "workflowName",
    "workflowVersion",
    "lostWorker",
    "completed",
    "skipped",
)


def event_words(data: Document) -> str:
    """Return a summary of an event's data on one line."""
    words = [word for name in _SUMMARY_FIELDS if data.get(name) is not None and (word := _word(name, data[name]))]
    if data.get("error"):
        words.append(" ".join(error_words(data["error"]).split()))
    return " ".join(words)


def error_words(error: Mapping[str, Any]) -> str:
    """Return an error's code and message."""
    return f"{error['code']}: {error['message']}"


def _word(name: str, value: Any) -> str:
    match name:
        case "durationMs":
            return f"({duration(value)})"
        case "attempt":
            return f"attempt {value}" if value > 1 else ""
        case "nextAttempt":
            return f"attempt {value}"
        case "lostWorker":
            return f"from {value}"
        case "completed" | "skipped":
            return f"{value} {name}" if value else ""
        case _:
            return str(value)


def print_deleted(done: Document, *, as_json: bool) -> None:
    """Print a deleted run, and what is left of it, if anything."""
    if as_json:
        print_json(done)
        return
    print_line(
        f"deleted run {done['runId']}: {counted(done['events'], 'event')}, "
        f"{counted(done['contentRemoved'], 'object')} of the artifact store"
    )
    if done["contentLeft"]:
        left = counted(done["contentLeft"], "object")
        print_line(f"{left} left, because executing attempts may need them: run `orchestrator artifacts prune` later")


def print_workflows(workflows: Iterable[Document], *, as_json: bool) -> None:
    """Print the registered workflows."""
    if as_json:
        print_json({"workflows": list(workflows)})
        return
    rows = [
        (
            each["workflowName"],
            each["version"],
            str(each["stepCount"]),
            each["registeredAt"],
            f"(retired) {each['description']}" if each.get("retiredAt") else each["description"],
        )
        for each in workflows
    ]
    print_table(("workflow", "version", ">steps", "registered", "description"), rows, empty="no workflows")


def print_changed_versions(changed: Document, outcome: str, *, as_json: bool) -> None:
    """Print the versions of a workflow that were retired or restored."""
    if as_json:
        print_json(changed)
    elif changed["versions"]:
        print_line(f"{outcome} {changed['workflowName']} {', '.join(changed['versions'])}")
    else:
        print_line(f"nothing to do: {changed['workflowName']} is already {outcome}")


def print_workflow(workflow: Document, *, as_json: bool) -> None:
    """Print a workflow: its facts, change types and steps."""
    if as_json:
        print_json(workflow)
        return
    changes = workflow.get("changeTypes") or {}
    print_facts(
        open_console(),
        {
            "workflow": workflow["workflowName"],
            "version": workflow["version"],
            "versions": ", ".join(workflow["versions"]),
            "description": workflow["description"],
            "registered": workflow["registeredAt"] or "",
            "retired": workflow.get("retiredAt") or "",
            "digest": workflow["digest"],
            "change types": ", ".join(changes),
        },
    )
    rows = [
        (
            step["stepId"],
            step["skillId"],
            ", ".join(step.get("dependsOn") or ()),
            step["cachePolicy"]["scope"] if step["cachePolicy"]["enabled"] else "off",
            str(step["retryPolicy"]["maxAttempts"]),
        )
        for step in workflow["steps"]
    ]
    print_line("")
    print_table(("step", "skill", "depends on", "cache", ">attempts"), rows)
