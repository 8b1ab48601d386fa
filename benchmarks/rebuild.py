"""W8: rebuild read models from a log of 1,000,000 events, compared with a plain COPY of the rows into an equal table.

Each rebuild runs `orchestrator projections rebuild` in separate processes: fill, index, catch up, compare, swap.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.folders import open_folder
from benchmarks.histories import make_log, make_read_models
from benchmarks.report import Report, median
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings

_SQL = load_sql(__file__)

EVENTS = 1_000_000
GOALS = {"runs": "> 100,000", "run_steps": "> 60,000", "artifacts": ""}


def measure(report: Report, *, full: bool) -> None:
    """Create a log, and rebuild each read model from it."""
    with open_folder() as folder:
        settings = Settings(data_dir=folder)
        with open_core(settings) as core:
            _make(core, EVENTS // 4)
            before = {name: _rebuild(settings, name)[1] for name in GOALS}
            started = time.perf_counter()
            made = _make(core, EVENTS)
            report.add("W8 a log made by COPY", "read models too", made / (time.perf_counter() - started), "events/s")
            for name, goal in GOALS.items():
                _measure(report, core, name, goal, before[name], repeat=5 if full else 3)


def _make(core: Core, events: int) -> int:
    position = asyncio.run(make_log(core, events))
    make_read_models(core)
    return position


def _measure(report: Report, core: Core, name: str, goal: str, before: float, *, repeat: int) -> None:
    label, events = f"W8 {name} of {EVENTS:,} events", core.log.last_position()
    rebuilt = [_rebuild(core.settings, name) for _ in range(repeat)]
    rows, copied = _copy(core, name, repeat)
    seconds = median([seconds for seconds, _ in rebuilt])
    report.add(label, "rebuild", events / seconds, "events/s", goal)
    report.add(label, "rebuild", rows / seconds, "rows/s")
    report.add(label, "plain COPY", rows / copied, "rows/s")
    report.add(label, "rebuild against COPY", copied / seconds, "ratio", "> 0.25" if name == "runs" else "")
    peak = max(peak for _, peak in rebuilt)
    report.add(label, "peak memory of a process", peak, "MB")
    report.add(label, "against a quarter of the log", peak / before, "ratio", "about 1")


def _rebuild(settings: Settings, name: str) -> tuple[float, float]:
    """Rebuild a read model; return the seconds it took and the peak memory (MB) of the largest of its processes.

    Raises:
        RuntimeError: the rebuild failed, or the rows did not match the log.
    """
    words = [sys.executable, "-m", "orchestrator", "projections", "rebuild", name, "--json"]
    environment = {**os.environ, "ORCHESTRATOR_DATA_DIR": str(settings.data_dir)}
    peak = 0
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, *map(_peak_kilobytes, _with_children(process.pid)))
            time.sleep(0.05)
        said = process.communicate()[0]
    report = json.loads(said)["reports"][0]
    if report["differing"]:
        raise RuntimeError(f"{report['differing']} rows of {name} were not what the log says")
    return report["seconds"], peak / 1024


def _with_children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return [pid]
    return [pid, *(each for child in text.split() for each in _with_children(int(child)))]


def _peak_kilobytes(pid: int) -> int:
    """Return the peak memory of a process since it started; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _copy(core: Core, name: str, repeat: int) -> tuple[int, float]:
    """Copy the rows of a table into an equal one with indexes; return the number of rows and the median seconds."""
    table, times = Identifier(name), []
    with psycopg.connect(core.database.conninfo, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(SQL(_SQL.read).format(table=table)) as copy:
            blocks = [bytes(block) for block in copy]
        for _ in range(repeat):
            cursor.execute(SQL(_SQL.like).format(table=table))
            started = time.perf_counter()
            with cursor.copy(_SQL.write) as copy:
                for block in blocks:
                    copy.write(block)
            times.append(time.perf_counter() - started)
            cursor.execute(_SQL.drop)
    return len(blocks), median(times)
