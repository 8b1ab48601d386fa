"""The cost of work besides time: commits, log written by Postgres, CPU of the program and of Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks import postgres
from benchmarks.report import OURS, Report


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment: transactions that wrote, bytes of write-ahead log, seconds of CPU."""

    commits: int
    wal_bytes: int
    client: float
    server: float


@contextmanager
def metered(
    report: Report, workload: str, runs: int, client: int, *, of: str = OURS, on_postgres: bool = True
) -> Iterator[None]:
    """Report the cost of the block per run.

    Commits are counted by allocated transaction ids: a read-only transaction allocates none, and does not wait for
    the disk. Log is the distance that the write position has moved. Both are exact immediately, unlike the
    statistics views, which lag by up to ten seconds.

    Args:
        report: where to add the results.
        workload: the label of the workload.
        runs: how many runs the block executes.
        client: process id of the program that uses Postgres; its children are included.
        of: the contestant.
        on_postgres: whether the contestant uses our Postgres; otherwise only the program is measured.
    """
    before = _read(client)
    yield
    after = _read(client)
    report.add(workload, "CPU of the program a run", (after.client - before.client) / runs * 1000, "ms", of=of)
    if not on_postgres:
        return
    report.add(workload, "commits a run", (after.commits - before.commits) / runs, "commits", of=of)
    report.add(workload, "log written a run", (after.wal_bytes - before.wal_bytes) / runs / 1000, "kB", of=of)
    report.add(workload, "CPU of Postgres a run", (after.server - before.server) / runs * 1000, "ms", of=of)


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used, including children that have ended."""
    root = psutil.Process(pid)
    seconds = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it has just ended; its time is included in its parent's
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _read(client: int) -> Reading:
    return Reading(*postgres.counters(), cpu(client), cpu(postgres.server().pid))
