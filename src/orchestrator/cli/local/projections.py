"""What the verbs about read models do and print."""

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
from orchestrator.cli.output.terminal import open_console, print_error, print_json, print_line, print_table, styled
from orchestrator.projections.rebuild.differences import RebuildReport
from orchestrator.projections.rebuild.errors import RebuildInterrupted
from orchestrator.projections.rebuild.rebuild import OnProgress
from orchestrator.projections.rebuild.standing_views import report_view, standing_view
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor, Standing

_LINE_SECONDS = 2.0
_LONGEST = 60
_FAULTY = 1


@contextmanager
def _supervisor(data_dir: Path | None) -> Iterator[ReadModelSupervisor]:
    settings = read_settings(need_data=True, data_dir=data_dir)
    configure_logging(settings, quiet=True)
    with open_core(settings) as core:
        yield core.read_models


def show_standings(data_dir: Path | None, *, as_json: bool) -> None:
    """Print where the read models are."""
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
    """Return what an operator should know besides."""
    if standing.stopped_at is not None:
        return f"at position {standing.stopped_at:,}: {standing.error}"
    if standing.error is not None:
        return standing.error
    if standing.rebuild is not None:
        done = standing.rebuild.events / max(1, standing.rebuild.goal)
        word = "being rebuilt" if standing.rebuild.state == "running" else "rebuild interrupted"
        return f"{word}, {min(1.0, done):.0%}"
    if standing.is_outdated:
        return f"this program makes version {standing.program_version}"
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
    """Rebuild or compare read models one after the other, and print what was different.

    Raises:
        Complaint: none is given, or in two ways.
        ProjectionNotFound: there is none of a name; nothing was begun.
        typer.Exit: 1 when rows were not what the log says and are as they were, 130 after Ctrl-C.
    """
    if every == bool(names):
        raise Complaint("No read models given", "Name some (`projections list` shows them), or give --all.")
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
            print_error(f"{interrupted.message}; the same command goes on from there")
            raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print_json({"reports": [report_view(report) for report in reports]})
    if any(report.is_faulty and not report.swapped for report in reports):
        raise typer.Exit(_FAULTY)


def retry(data_dir: Path | None, name: str, *, as_json: bool) -> None:
    """Let a read model try an event again."""
    with _supervisor(data_dir) as supervisor:
        supervisor.retry(name)
    if as_json:
        print_json({"name": name, "state": "live"})
    else:
        print_line(f"{name} goes on, and tries the event again")


def skip(data_dir: Path | None, name: str, *, as_json: bool) -> None:
    """Send a read model past an event."""
    with _supervisor(data_dir) as supervisor:
        position = supervisor.skip(name, actor_name())
    if as_json:
        print_json({"name": name, "state": "live", "skipped": position})
    else:
        print_line(f"{name} goes on after position {position:,}; that it was skipped is on record")


def _print(report: RebuildReport) -> None:
    """Say what a rebuild came to."""
    rate = report.events / report.seconds if report.seconds else 0.0
    resumed = f", resumed after {report.resumed_at:,}" if report.resumed_at else ""
    done = "rebuilt" if report.swapped else "compared"
    print_line(f"{report.name} {done}: {report.events:,} events in {report.seconds:.1f} s ({rate:,.0f}/s){resumed}")
    if report.version != report.replaced:
        print_line(f"version {report.version} instead of {report.replaced}; {report.differing:,} rows are not the same")
        return
    if not report.differing:
        print_line("no differences")
        return
    rows = []
    for found in report.differences:
        columns = [(column, _short(old), _short(new)) for column, (old, new) in found.columns.items()]
        rows += [(found.key, found.kind, *column) for column in columns or [("", "", "")]]
    print_table(("row", "difference", "column", "live", "as the log says"), rows)
    shown = len(report.differences)
    more = f", the first {shown} are shown" if report.differing > shown else ""
    put_right = "; they are put right" if report.swapped else ""
    print_line(f"{report.differing:,} rows are not what the log says{more}{put_right}")


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Yield what SIGINT and SIGTERM set; a second one has its usual effect."""
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
    """Yield what shows on stderr how far a rebuild is: a bar on a terminal, else a line now and then."""
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
    """Shows progress as lines: each stage, and how far it is every two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._said = 0.0
        self._began: tuple[float, int] | None = None

    def __call__(self, stage: str, events: int, goal: int) -> None:
        rate, self._began = _rate(self._began, events)
        now = time.monotonic()
        if stage == self._stage and now - self._said < _LINE_SECONDS:
            return
        self._stage, self._said = stage, now
        left = f", {rate:,.0f}/s, {(goal - events) / rate:.0f} s left" if rate and events < goal else ""
        print_error(f"{self._name}: {stage}, {events:,} of {goal:,} events{left}")


def _rate(began: tuple[float, int] | None, events: int) -> tuple[float, tuple[float, int]]:
    """Return the events a second since the first look, which a resumed rebuild begins in the middle."""
    now = time.monotonic()
    if began is None:
        return 0.0, (now, events)
    seconds = now - began[0]
    return ((events - began[1]) / seconds if seconds > 0 else 0.0), began
