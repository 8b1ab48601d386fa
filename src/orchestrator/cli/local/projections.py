"""The read model commands."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from orchestrator.bootstrap.core import open_core
from orchestrator.cli.actor import actor_name
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.terminal import (
    counted,
    open_console,
    print_error,
    print_json,
    print_line,
    print_table,
    styled,
)
from orchestrator.projections.rebuild.differences import RebuildReport
from orchestrator.projections.rebuild.errors import RebuildInterrupted
from orchestrator.projections.rebuild.rebuild import OnProgress
from orchestrator.projections.rebuild.standing_views import report_view, standing_view
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor, Standing

_LINE_SECONDS = 2.0
_MAX_LENGTH = 60
_DIFFERENT = 1


@contextmanager
def _supervisor(data_dir: Path | None) -> Iterator[ReadModelSupervisor]:
    settings = read_settings(need_data=True, data_dir=data_dir)
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        yield core.read_models


def show_standings(data_dir: Path | None, *, as_json: bool) -> None:
    """Print the version, position, lag and state of every read model."""
    with _supervisor(data_dir) as supervisor:
        standings = supervisor.standings()
    if as_json:
        print_json({"projections": [standing_view(standing) for standing in standings]})
        return
    rows = [
        (
            one.name,
            one.kind,
            str(one.version),
            f"{one.position:,}",
            f"{one.lag_events:,}",
            f"{one.lag_seconds:.1f}" if one.lag_events else "",
            styled(one.state),
            _note(one),
        )
        for one in standings
    ]
    print_table(("name", "kind", ">version", ">position", ">events behind", ">seconds behind", "state", "note"), rows)


def _note(standing: Standing) -> str:
    """Return the error, the rebuild or the version difference that an operator should know about."""
    if standing.stopped_at is not None:
        return f"at position {standing.stopped_at:,}: {standing.error}"
    if standing.error is not None:
        return standing.error
    if standing.rebuild is not None:
        done = standing.rebuild.events / max(1, standing.rebuild.goal)
        word = "being rebuilt" if standing.rebuild.state == "running" else "rebuild interrupted"
        return f"{word}, {min(1.0, done):.0%}"
    if standing.is_outdated:
        return f"this program builds version {standing.program_version}"
    return ""


def rebuild_models(
    data_dir: Path | None,
    names: Sequence[str],
    *,
    every: bool,
    dry_run: bool,
    processes: int | None,
    as_json: bool,
) -> None:
    """Rebuild or compare read models one after the other, and print the differences.

    Raises:
        Complaint: neither or both of names and --all are given.
        ProjectionNotFound: a name is unknown; nothing was started.
        typer.Exit: 1 if rows differ from the log and were not replaced, 130 after an interrupt.
    """
    if every == bool(names):
        raise Complaint(
            "Give either the names of read models or --all",
            "List read models with `orchestrator projections list`.",
        )
    reports: list[RebuildReport] = []
    with _supervisor(data_dir) as supervisor, _interruptible() as stopping:
        for name in names:
            supervisor.require(name)
        try:
            for name in supervisor.all_names if every else names:
                with _progress(name) as on_progress:
                    report = supervisor.rebuild(
                        name, dry_run=dry_run, on_progress=on_progress, stopping=stopping, processes=processes
                    )
                reports.append(report)
                if not as_json:
                    _print(report)
        except RebuildInterrupted as interrupted:
            print_error(f"{interrupted.message}; run the same command again to resume")
            raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print_json({"reports": [report_view(report) for report in reports]})
    if any(report.is_faulty and not report.swapped for report in reports):
        raise typer.Exit(_DIFFERENT)


def retry(data_dir: Path | None, name: str, *, as_json: bool) -> None:
    """Restart a stopped read model at the event that stopped it."""
    with _supervisor(data_dir) as supervisor:
        supervisor.retry(name)
    if as_json:
        print_json({"name": name, "state": "live"})
    else:
        print_line(f"{name} restarted; it tries the event again")


def skip(data_dir: Path | None, name: str, *, as_json: bool) -> None:
    """Restart a stopped read model after the event that stopped it."""
    with _supervisor(data_dir) as supervisor:
        position = supervisor.skip(name, actor_name())
    if as_json:
        print_json({"name": name, "state": "live", "skipped": position})
    else:
        print_line(f"{name} restarted after position {position:,}; the skip is recorded")


def _print(report: RebuildReport) -> None:
    """Print the result of a rebuild."""
    rate = report.events / report.seconds if report.seconds else 0.0
    resumed = f", resumed after {report.resumed_at:,}" if report.resumed_at else ""
    done = "rebuilt" if report.swapped else "compared"
    print_line(f"{report.name} {done}: {report.events:,} events in {report.seconds:.1f} s ({rate:,.0f}/s){resumed}")
    if report.version != report.replaced:
        print_line(f"version {report.version} instead of {report.replaced}; {report.differing:,} rows differ")
        return
    if not report.differing:
        print_line("no differences")
        return
    rows = []
    for found in report.differences:
        columns = [(column, _short(old), _short(new)) for column, (old, new) in found.columns.items()]
        rows += [(found.key, found.kind, *column) for column in columns or [("", "", "")]]
    print_table(("row", "difference", "column", "live", "from the log"), rows)
    shown = len(report.differences)
    more = f" (the first {shown} are shown)" if report.differing > shown else ""
    verb = "differs" if report.differing == 1 else "differ"
    corrected = "; corrected by the rebuild" if report.swapped else ""
    print_line(f"{counted(report.differing, 'row')} {verb} from the log{more}{corrected}")


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set. A second signal has its default effect."""
    stopping = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _frame: object) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(name: str) -> Iterator[OnProgress]:
    """Yield a callback that shows a rebuild's progress on stderr: a bar on a terminal, otherwise lines."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} events"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=open_console(stderr=True),
        transient=True,
    )
    with bar:
        yield _Bar(name, bar)


class _Bar:
    """Shows progress as a bar."""

    def __init__(self, name: str, bar: Progress) -> None:
        self._name = name
        self._bar = bar
        self._task: TaskID = bar.add_task(name, total=1, rate="")
        self._began: tuple[float, int] | None = None

    def __call__(self, stage: str, events: int, goal: int) -> None:
        rate, self._began = _rate(self._began, events)
        self._bar.update(
            self._task,
            description=f"{self._name}: {stage}",
            completed=events,
            total=max(goal, 1),
            rate=f"{rate:,.0f}/s" if rate else "",
        )


class _Lines:
    """Shows progress as lines: one for each new stage, then one every two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._printed = 0.0
        self._began: tuple[float, int] | None = None

    def __call__(self, stage: str, events: int, goal: int) -> None:
        rate, self._began = _rate(self._began, events)
        now = time.monotonic()
        if stage == self._stage and now - self._printed < _LINE_SECONDS:
            return
        self._stage, self._printed = stage, now
        left = f", {rate:,.0f}/s, {(goal - events) / rate:.0f} s left" if rate and events < goal else ""
        print_error(f"{self._name}: {stage}, {events:,} of {goal:,} events{left}")


def _rate(began: tuple[float, int] | None, events: int) -> tuple[float, tuple[float, int]]:
    """Return the events per second, and the first sample they are measured from: a resumed rebuild starts above 0."""
    now = time.monotonic()
    if began is None:
        return 0.0, (now, events)
    seconds = now - began[0]
    return ((events - began[1]) / seconds if seconds > 0 else 0.0), began
