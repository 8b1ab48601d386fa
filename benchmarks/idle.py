"""W10: the cost of an idle process: queries per minute, share of a core, memory."""

import time
from typing import Any

import psutil
import psycopg

from benchmarks.folders import open_folder
from benchmarks.report import Report
from benchmarks.server import database, start
from orchestrator.postgres.sql import load_sql

PROCESSES = {
    "dev": ["--port", "0", "--skills", "benchmarks.skills"],
    "api": ["--port", "0", "--no-projector"],
    "worker": ["--skills", "benchmarks.skills"],
    "projector": [],
}

_SQL = load_sql(__file__)
_SETTLE_SECONDS = 12  # statistics of a session's start appear up to ten seconds later


def measure(report: Report, *, full: bool) -> None:
    """Start each kind of process alone, and measure it while it is idle."""
    for verb, options in PROCESSES.items():
        with open_folder() as folder:
            server = start(verb, folder, options)
            try:
                with database(folder) as connection:
                    time.sleep(_SETTLE_SECONDS)
                    _look(report, verb, server.process.pid, connection, 60 if full else 20)
            finally:
                server.stop()


def _look(report: Report, verb: str, pid: int, connection: "psycopg.Connection[Any]", seconds: float) -> None:
    process = psutil.Process(pid)
    before, cpu, began = _transactions(connection), sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    used = sum(process.cpu_times()[:2]) - cpu
    queries, minutes = _transactions(connection) - before, (time.monotonic() - began) / 60
    report.add(f"W10 idle {verb}", "queries", queries / minutes, "a minute", "< 60")
    report.add(f"W10 idle {verb}", "of a core", used / minutes / 60 * 100, "%", "< 1")
    report.add(f"W10 idle {verb}", "memory", process.memory_info().rss / 2**20, "MB")


def _transactions(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute(_SQL.statements).fetchone()
    return int(row[0]) if row else 0
