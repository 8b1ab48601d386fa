"""Show a run's progress on stderr: a live tree on a terminal, otherwise a line for each event."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.output.answers import skills_collected
from orchestrator.cli.output.progress import RunProgress, StepProgress, begin_progress, count
from orchestrator.cli.output.terminal import between, duration, open_console, styled
from orchestrator.cli.output.tree import step_tree
from orchestrator.cli.output.visible import visible

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_REFRESHES_A_SECOND = 10
_PROGRESS_SECONDS = 5.0
_ICONS = {
    "pending": ("○", "dim"),
    "running": ("●", "blue"),
    "completed": ("✔", "green"),
    "skipped": ("↺", "cyan"),
    "omitted": ("⊘", "dim"),
    "failed": ("✖", "red"),
    "cancelled": ("⊘", "magenta"),
}
_PLAIN_ICONS = {
    "pending": ".",
    "running": ">",
    "completed": "+",
    "skipped": "=",
    "omitted": "-",
    "failed": "x",
    "cancelled": "/",
}
_HITS = {"cache": "from the cache", "unchanged": "unchanged", "reused": "reused"}

Show = Callable[[Mapping[str, Any] | None], None]
"""Called after each event, or with None to refresh."""

Document = dict[str, Any]


async def watch(client: "Calls", progress: RunProgress, *, quiet: bool = False) -> RunProgress:
    """Follow a run until it ends, showing it unless `quiet`. Update and return `progress`."""
    with _show_nothing() if quiet else open_show(progress) as show:
        async for event in client.events(progress.run_id, progress=True):
            progress.apply(event)
            show(event)
    return progress


async def load_progress(client: "Calls", run_id: str) -> RunProgress:
    """Return the progress of a run without its events applied. Raise RunNotFound if it does not exist."""
    run = await client.run(run_id)
    workflow = await client.workflow(run["workflowName"], run["workflowVersion"])
    return begin_progress(run, workflow)


@contextmanager
def open_show(progress: RunProgress) -> Iterator[Show]:
    """Show a run in the form that suits stderr."""
    console = open_console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console, progress).show
        return
    picture = _Picture(progress, console)
    with skills_collected() as collect, Live(picture, console=console, refresh_per_second=_REFRESHES_A_SECOND):
        collect()
        yield lambda _: None


@contextmanager
def _show_nothing() -> Iterator[Show]:
    yield lambda _: None


class _Picture:
    """A Rich renderable of the run's current state."""

    def __init__(self, progress: RunProgress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._unicode = (console.encoding or "").lower().startswith("utf")
        self._spinner = Spinner("dots" if self._unicode else "line", style="blue")

    def __rich__(self) -> RenderableType:
        progress = self._progress
        fits = len(progress.steps) + 3 <= self._console.height
        return Group(self._title(), self._tree() if fits else self._excerpt(), self._summary())

    def _title(self) -> Text:
        progress = self._progress
        now = datetime.now(UTC).isoformat()
        title = Text.assemble((progress.workflow, "bold"), "  run ", (progress.run_id, "dim"), "  ")
        title.append_text(styled(progress.status))
        title.append(f"  {duration(between(progress.began, progress.ended or now))}")
        if progress.note:
            title.append(f"  {visible(progress.note, lines=False)}", style="yellow")
        return title

    def _tree(self) -> Tree:
        steps = self._progress.steps
        return step_tree(
            {step.id: step.depends_on for step in steps.values()}, lambda step_id: self._row(steps[step_id])
        )

    def _excerpt(self) -> Group:
        """Return only the executing and failed steps, for a run too large for the screen."""
        room = max(1, self._console.height - 3)
        steps = [step for step in self._progress.steps.values() if step.status in ("failed", "running")]
        return Group(*(self._row(step) for step in steps[:room]))

    def _row(self, step: StepProgress) -> RenderableType:
        icon: RenderableType
        if step.status == "running":
            icon = self._spinner
        else:
            sign, style = _ICONS[step.status]
            icon = Text(sign if self._unicode else _PLAIN_ICONS[step.status], style=style)
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, overflow="ignore", min_width=cell_len(step.id))  # ids are never broken
        row.add_column()
        row.add_row(icon, Text(step.id, style="dim" if step.status == "pending" else ""), _detail(step))
        return row

    def _summary(self) -> Text:
        counts = count(self._progress.steps.values())
        words = [f"{counts[status]} {status}" for status in _ICONS if status in counts]
        return Text(f"{len(self._progress.steps)} steps: {', '.join(words)}", style="dim")


def _detail(step: StepProgress) -> Text:
    detail = Text()
    if step.status == "running":
        detail.append(duration(between(step.began, datetime.now(UTC).isoformat())), style="blue")
        if step.fraction is not None:
            detail.append(f" {step.fraction:.0%} {visible(step.doing, lines=False)}", style="dim")
    elif step.status == "completed":
        detail.append(duration(step.duration_ms), style="green")
    elif step.status == "skipped":
        detail.append(_HITS.get(step.hit or "", ""), style="cyan")
    elif step.status == "omitted":
        detail.append(_omission(step.because), style="dim")
    if step.attempt > 1:
        detail.append(f" attempt {step.attempt}", style="yellow")
    if step.error and step.status in ("failed", "pending", "running"):
        detail.append(f" {visible(step.error.splitlines()[0], lines=False)}", style="red")
    return detail


class _Lines:
    """Prints a line for each event, and for the progress of a step every few seconds."""

    def __init__(self, console: Console, progress: RunProgress) -> None:
        self._console = console
        self._progress = progress
        self._printed_at: dict[str, float] = {}

    def show(self, event: Mapping[str, Any] | None) -> None:
        if event is None or (event["type"] == "StepProgress" and not self._is_due(event["data"]["step"])):
            return
        line = event_line(self._progress, event)
        if line is not None:
            self._console.print(visible(line, lines=False), soft_wrap=True)

    def _is_due(self, step: str) -> bool:
        if step not in self._progress.steps or self._progress.steps[step].status != "running":
            return False  # it has ended since
        now = time.monotonic()
        if now - self._printed_at.get(step, -math.inf) < _PROGRESS_SECONDS:
            return False
        self._printed_at[step] = now
        return True


def event_line(progress: RunProgress, event: Mapping[str, Any]) -> str | None:
    """Return the line for an event that `progress` has applied, or None if it is not shown."""
    data = event["data"]
    match event["type"]:
        case "RunTriggered":
            return f"run {progress.run_id} of {progress.workflow} queued"
        case "RunStarted" | "RunRecovered" | "RunBlocked":
            return _joined(f"run {progress.status}", progress.note)
        case "RunCompleted" | "RunFailed" | "RunCancelled":
            took = duration(between(progress.began, progress.ended))
            return _joined(f"run {progress.status}" + (f" after {took}" if took else ""), progress.note)
        case "StepStarted":
            return f"step {data['step']} started" + (f", attempt {data['attempt']}" if data["attempt"] > 1 else "")
        case "StepCacheHit":
            return f"step {data['step']} skipped, {_HITS[data['reason']]}"
        case "StepCompleted":
            return f"step {data['step']} completed after {duration(data['durationMs'])}"
        case "StepFailed":
            return f"step {data['step']} failed, attempt {data['attempt']}: {_one_line(data['error'])}"
        case "StepProgress":
            return f"step {data['step']} {data['fraction']:.0%} {data['message']}".rstrip()
        case "StepOmitted":
            return f"step {data['step']} omitted, {_omission(data['because'])}"
        case "StepRetried":
            return f"step {data['step']} will be retried at {data['dueAt']}, attempt {data['nextAttempt']}"
        case _:
            return None


def _omission(because: str | None) -> str:
    return "its condition is false" if because is None else f"{because} has no result"


def _joined(text: str, note: str) -> str:
    return f"{text}: {' '.join(note.split())}" if note else text


def _one_line(error: Mapping[str, Any]) -> str:
    return " ".join(f"{error['code']}: {error['message']}".split())


def outcome(progress: RunProgress) -> Document:
    """Return a summary of how a run ended."""
    counts = count(progress.steps.values())
    return {
        "runId": progress.run_id,
        "status": progress.status,
        "durationMs": between(progress.began, progress.ended),
        "steps": counts,
    }
