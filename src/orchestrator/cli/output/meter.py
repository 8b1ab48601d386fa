"""Progress of long work, on stderr: a bar on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from orchestrator.cli.output.terminal import open_console
from orchestrator.projections.rebuild.stages import OnStage

_LINE_SECONDS = 5.0


@contextmanager
def open_meter() -> Iterator[OnStage]:
    """Yield a callback that shows the progress of work whose stages run one after the other."""
    console = open_console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console).report
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Done(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress).report


class _Done(ProgressColumn):
    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._what = ""
        self._stage: TaskID | None = None

    def report(self, what: str, done: int, total: int | None) -> None:
        if self._stage is None or what != self._what:
            if self._stage is not None:
                self._progress.remove_task(self._stage)
            self._what, self._stage = what, self._progress.add_task(what, total=total)
        self._progress.update(self._stage, completed=done, total=total)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._what = ""
        self._began = self._printed = 0.0

    def report(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._printed = what, now, now
        if now - self._printed < _LINE_SECONDS:
            return
        self._printed = now
        of = "" if total is None else f" of {total:,}"
        self._console.print(f"{what}: {done:,}{of}, {done / (now - self._began):,.0f}/s", soft_wrap=True)
