"""W1 to W5 on the peers. A peer that fails or cannot be installed is listed in the report."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import postgres
from benchmarks.costs import metered
from benchmarks.labels import (
    ALL_DONE,
    ALONE,
    AT_ONCE,
    CACHED,
    CAUGHT_UP,
    CRASH,
    EXECUTED,
    EXECUTING,
    FIRST_STEP,
    ONE_STEP_RUNS,
    REPEATED,
    SLOW_DISK,
)
from benchmarks.peers.environment import NotInstalledError, python_of, version_of
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.report import Report, median, percentile
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_REPEAT = 3
_ENOUGH_SECONDS = 45.0
"""A workload is not repeated once it has taken this many seconds in total."""

_CRASH_RUNS = 100
_CRASH_SECONDS = 120.0
_LITTLE_SLOWER = 100  # runs at once on the slow disk


def measure(report: Report, *, full: bool) -> None:
    """Measure the peers one after the other."""
    peers = {"dbos": _dbos, "prefect": _prefect, "redun": _redun}
    for peer, measured in peers.items():
        name = f"{peer} {version_of(peer)}"
        try:
            measured(report, python_of(peer), full)
        except NotInstalledError as error:
            report.miss(name, f"cannot be installed: {error}")
        except PeerFailedError as error:
            report.miss(name, f"failed: {error}")


def _dbos(report: Report, python: Path, full: bool) -> None:
    of = f"DBOS {version_of('dbos')}"
    environment = {"BENCH_DATABASE_URL": postgres.fresh("dbos")}
    with PeerProcess(python, "dbos", environment) as program:
        for style, words in (("gathered", "steps gathered"), ("in order", "steps in order")):
            subject = f"{of}, {words}"
            note = "1,000 one-step runs at once instead of 5,000; on the slow disk 100 and 500 runs"
            _alone(report, program, ALONE, subject, runs=100 if full else 50, note=note, style=style)
            _at_once(report, program, AT_ONCE.format(500), subject, runs=500, steps=13, style=style)
            _at_once(report, program, ONE_STEP_RUNS, subject, runs=1000, steps=1, style=style)
            with postgres.slow_disk():
                _alone(report, program, ALONE + SLOW_DISK, subject, runs=30, style=style)
                label = AT_ONCE.format(500) + SLOW_DISK
                _at_once(report, program, label, subject, runs=_LITTLE_SLOWER, steps=13, style=style)
                label = ONE_STEP_RUNS + SLOW_DISK
                _at_once(report, program, label, subject, runs=5 * _LITTLE_SLOWER, steps=1, style=style)
    _crash(report, python, f"{of}, steps gathered")


def _prefect(report: Report, python: Path, full: bool) -> None:
    of = f"Prefect {version_of('prefect')}"
    note = "server on SQLite (synchronous = NORMAL), results in files; 20 runs, four at once, instead of 500"
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as home,
        PeerProcess(python, "prefect", {"PREFECT_HOME": home}) as program,
    ):
        _alone(report, program, ALONE, of, runs=20 if full else 10, note=note, on_postgres=False)
        _cached(report, program, of, runs=20 if full else 10)
        _at_once(report, program, AT_ONCE.format(500), of, runs=20, steps=13)


def _redun(report: Report, python: Path, full: bool) -> None:
    of = f"redun {version_of('redun')}"
    with PeerProcess(python, "redun", {"BENCH_DATABASE_URL": postgres.fresh("redun")}) as program:
        _alone(report, program, ALONE, of, runs=50 if full else 20)
        _cached(report, program, of, runs=50 if full else 20)


def _alone(
    report: Report,
    program: PeerProcess,
    label: str,
    of: str,
    *,
    runs: int,
    note: str = "",
    on_postgres: bool = True,
    **options: Any,
) -> None:
    program.ask("alone", runs=5, **options)
    with metered(report, label, runs, program.pid, of=of, on_postgres=on_postgres):
        times = program.ask("alone", runs=runs, **options)["times"]
    report.add(label, "p50", percentile(times, 0.5), "ms", of=of, note=note)
    report.add(label, "p95", percentile(times, 0.95), "ms", of=of)


def _cached(report: Report, program: PeerProcess, of: str, *, runs: int) -> None:
    times = program.ask("cached", runs=runs)["times"]
    report.add(CACHED, "p50", percentile(times, 0.5), "ms", of=of)
    report.add(CACHED, "per step", percentile(times, 0.5) / 13, "ms", of=of)


def _at_once(
    report: Report, program: PeerProcess, label: str, of: str, *, runs: int, steps: int, **options: Any
) -> None:
    """Measure runs at once. Status pages read a peer's own tables, so "done" and "caught up" are the same time."""
    if options:  # DBOS: one workload covers runs of one step and of many
        options["steps"] = steps
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < _REPEAT and time.perf_counter() - began < _ENOUGH_SECONDS:
        rates.append(runs * steps / program.ask("at once", runs=runs, **options)["seconds"])
    for what in (EXECUTED, CAUGHT_UP):
        report.add(label, what, median(rates), "steps/s", of=of)


def _crash(report: Report, python: Path, of: str) -> None:
    """Kill the process halfway through 100 runs of 20 ms steps, and start it again: it recovers by itself."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        journal = Path(folder) / "journal"
        journal.touch()
        environment = {"BENCH_DATABASE_URL": postgres.fresh("dbos_crash"), "BENCH_JOURNAL": str(journal)}
        with PeerProcess(python, "dbos", environment) as program:
            program.send("crash", runs=_CRASH_RUNS)
            _until(lambda: len(_lines(journal, "end")) >= _CRASH_RUNS * 13 // 2)
            program.kill()
        before = len(_lines(journal, "start"))
        with postgres.connect("dbos_crash") as connection:
            recorded = _count(connection, _SQL.recorded)
        began = time.perf_counter()
        with PeerProcess(python, "dbos", environment):
            _until(lambda: len(_lines(journal, "start")) > before)
            report.add(CRASH, FIRST_STEP, time.perf_counter() - began, "s", of=of)
            with postgres.connect("dbos_crash") as connection:
                _until(lambda: _count(connection, _SQL.pending) == 0)
            report.add(CRASH, ALL_DONE, time.perf_counter() - began, "s", of=of)
        executions = Counter(_lines(journal, "start"))
        repeated = sum(count > 1 for count in executions.values())
        report.add(CRASH, EXECUTING, before - recorded, "steps", of=of)
        report.add(CRASH, REPEATED, repeated, "steps", of=of)


def _count(connection: Any, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _CRASH_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise PeerFailedError(f"not done within {_CRASH_SECONDS:g} s of the crash workload")
        time.sleep(0.005)


def _lines(journal: Path, word: str) -> list[str]:
    return [line for line in journal.read_text().splitlines() if line.startswith(word)]
