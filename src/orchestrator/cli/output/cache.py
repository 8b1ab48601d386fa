"""Output of the step cache commands."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
from rich.text import Text

from orchestrator.cli.output.blocks import print_facts
from orchestrator.cli.output.terminal import open_console, print_json, print_line, print_table, size

_STYLES = {"hit": "green", "unchanged": "green", "reused": "green", "miss": "yellow", "failed": "red", "pending": "dim"}
_MAX_LENGTH = 60

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

Document = dict[str, Any]


def print_stats(stats: Document, *, as_json: bool) -> None:
    """Print how many results the cache holds, per step and in total."""
    if as_json:
        print_json(stats)
        return
    rows = [
        (
            each["workflowName"],
            each["stepId"],
            str(each["entries"]),
            size(each["sizeBytes"]),
            each["oldest"],
            each["newest"],
        )
        for each in stats["steps"]
    ]
    print_table(("workflow", "step", ">results", ">size", "oldest", "newest"), rows, empty="the cache is empty")
    if rows:
        print_line("")
        print_line(f"{stats['entries']} results, {size(stats['sizeBytes'])}")


def print_entries(entries: Sequence[Document], *, as_json: bool) -> None:
    """Print cached results with their keys."""
    if as_json:
        print_json({"entries": entries})
        return
    rows = [
        (each["key"], each["skill"], each["scope"], size(each["sizeBytes"]), each["storedAt"], each["runId"])
        for each in entries
    ]
    print_table(("key", "skill", "scope", ">size", "stored", "by run"), rows, empty="no results")


async def explanation(client: "Calls", run_id: str, step: str) -> Document:
    """Return why a step was or was not taken from the cache."""
    (explained,) = await client.cache_analysis(run_id, step_id=step)
    return {"runId": run_id, **explained}


def print_explanation(explained: Document, *, as_json: bool) -> None:
    """Print why a step was or was not taken from the cache."""
    if as_json:
        print_json(explained)
        return
    rows: list[tuple[str, Text | str]] = [
        ("step", explained["stepId"]),
        ("verdict", Text(explained["verdict"], _STYLES[explained["verdict"]])),
        ("why", explained["reason"]),
    ]
    if explained["cacheKey"]:
        rows.append(("key", explained["cacheKey"]))
    components = explained["components"] or {}
    if components.get("skill"):
        rows.append(("skill", components["skill"]))
    if components:
        rows.append(("input", _short(components["input"])))
    if explained["comparedWithRunId"]:
        rows.append(("compared with run", explained["comparedWithRunId"]))
    print_facts(open_console(), dict(rows))
    if explained["differences"]:
        print_line("")
        changes = [(each["field"], _short(each["before"]), _short(each["after"])) for each in explained["differences"]]
        print_table(("field", "before", "now"), changes)


def print_withdrawn(withdrawn: Document, *, as_json: bool) -> None:
    """Print how many results were removed from the cache."""
    if as_json:
        print_json(withdrawn)
        return
    count = withdrawn["withdrawn"]
    print_line("1 result removed" if count == 1 else f"{count} results removed")


def _short(value: Any) -> str:
    """Return JSON, truncated to 60 characters."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}... ({len(text)} characters)"
