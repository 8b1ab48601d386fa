"""Output of `replay` and `diff`."""

import sys
from collections.abc import Sequence
from typing import Any

import orjson
from rich.text import Text

from orchestrator.cli.local.replay import CheckedHistories
from orchestrator.cli.output.answers import answers
from orchestrator.cli.output.blocks import natural_width
from orchestrator.cli.output.reports import error_words, event_words, print_run
from orchestrator.cli.output.terminal import (
    ask_line,
    counted,
    duration,
    open_console,
    print_json,
    print_line,
    print_table,
    styled,
)
from orchestrator.cli.output.tree import step_tree

_MAX_LENGTH = 80
_MOMENTS = ("before", "after")

Document = dict[str, Any]


def print_moment(moment: Document, *, as_json: bool) -> None:
    """Print a run at a moment, with its steps as a tree."""
    if as_json:
        print_json(moment)
        return
    print_run(moment["run"], as_json=False)
    print_line(f"version  {moment['run']['version']}")
    print_line("")
    steps = {step["stepId"]: step for step in moment["steps"]}
    tree = step_tree({name: step["dependsOn"] for name, step in steps.items()}, lambda name: _row(steps[name]))
    console = open_console()
    console.print(tree, width=max(console.width, natural_width(console, tree)), crop=False)


def _row(step: Document) -> Text:
    details = [duration(step["durationMs"])]
    if step["hitReason"]:
        details.append(f"{step['hitReason']}, made by run {step['reusedFromRunId']}")
    if step["attempt"] > 1:
        details.append(f"attempt {step['attempt']}")
    if step["error"] and step["status"] != "completed":
        details.append(" ".join(error_words(step["error"]).split()))
    details += [each["filename"] or each["type"] for each in step["artifacts"]]
    words = (" ".join(word for word in details if word), "dim")
    return Text.assemble(step["stepId"], " ", styled(step["status"]), " ", words)


def print_frames(run_id: str, frames: Sequence[Document], *, as_json: bool) -> None:
    """Print what each event changed. On a terminal, the user steps through the events; otherwise print all."""
    if as_json:
        print_json({"runId": run_id, "frames": list(frames)})
        return
    if not (sys.stdin.isatty() and answers().isatty()):
        for frame in frames:
            print_line(_frame_line(frame))
        return
    place = 0
    while 0 <= place < len(frames):
        print_line(_frame_line(frames[place]))
        answer = ask_line(f"{place + 1} of {len(frames)}: Enter: next, b: back, q: quit ").lower()
        if answer == "q":
            return
        place = max(0, place - 1) if answer == "b" else place + 1


def _frame_line(frame: Document) -> str:
    event = frame["event"]
    changes = ", ".join(f"{each['stepId']} {each['before']} -> {each['after']}" for each in frame["changes"])
    line = f"{event['version']:>5}  {event['at']}  {event['type']} {event_words(event['data'])}".rstrip()
    return f"{line}  [run {frame['status']}{f'; {changes}' if changes else ''}]"


def print_check(checked: CheckedHistories, *, as_json: bool) -> None:
    """Print whether this program would record the same histories, and the faulty events."""
    if as_json:
        faults = [
            {"runId": each.stream_id, "position": each.position, "message": each.message} for each in checked.faults
        ]
        print_json({"accepted": not faults, "events": checked.events, "runs": checked.runs, "faults": faults})
        return
    print_line(f"checked {counted(checked.events, 'event')} of {counted(checked.runs, 'run')}")
    if not checked.faults:
        print_line("this program would decide every event the same way")
        return
    print_table(
        (">position", "run", "fault"),
        [(str(each.position), each.stream_id, each.message) for each in checked.faults],
    )


def print_comparison(found: Document, *, as_json: bool) -> None:
    """Print the differences between two moments: for each step the one that matters most. JSON has all of them."""
    if as_json:
        print_json(found)
        return
    for word in _MOMENTS:
        print_line(f"{word:<7} run {found[word]['runId']} at version {found[word]['version']}")
    rows = [("run", *_shown(each)) for each in found["run"]]
    rows += [("payload", *_shown(each)) for each in found["payload"]]
    hidden = 0
    for step in found["steps"]:
        if step["only"]:
            rows.append((step["stepId"], "", *(("present", "") if step["only"] == "before" else ("", "present"))))
        elif step["main"]:
            rows.append((step["stepId"], *_shown(step["main"])))
        hidden += max(0, len(step["differences"]) - (step["main"] is not None))
    print_line("")
    print_table(("part", "field", "before", "after"), rows, empty="no differences")
    if same := [_produced(step) for step in found["steps"] if not step["only"] and not step["main"]]:
        print_line("")
        print_line(f"same result, produced differently: {', '.join(same)}")
    if found["reused"]:
        print_line("")
        print_line(f"reused and therefore identical: {', '.join(found['reused'])}")
    if hidden:
        print_line("")
        print_line(f"{counted(hidden, 'more difference')} of these steps (hashes, times, attempts): --json")


def _produced(step: Document) -> str:
    """Return a step that holds the same result at both moments, and how long it took for each if that is different."""
    took = [duration(each[word]) for each in step["differences"] if each["field"] == "durationMs" for word in _MOMENTS]
    return f"{step['stepId']} ({took[0]}, then {took[1]})" if all(took) and took else str(step["stepId"])


def _shown(difference: Document) -> tuple[str, str, str]:
    return difference["field"], _short(difference["before"]), _short(difference["after"])


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}... ({len(text)} characters)"
