"""What work cost beside time: commits, log written by Postgres, CPU on both sides."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks import postgres
from benchmarks.report import OURS, Report


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one moment: transactions that wrote, bytes of write-ahead log, seconds of CPU."""

    commits: int
    wal_bytes: int
    client: float
    server: float


@contextmanager
def metered(
    report: Report, workload: str, runs: int, client: int, *, of: str = OURS, on_postgres: bool = True
) -> Iterator[None]:
    """Add what the block costs for each of its runs.

    Commits are the transaction ids that were taken: a transaction that only reads takes none, and does not wait
    for the disk. Log is the distance that the write position moved. Both are exact at once, unlike the statistics
    views, which lag by up to ten seconds.

    Args:
        report: where to add the figures.
        workload: the label of the workload.
        runs: how many runs the block does.
        client: process id of the program that asks Postgres; its children count too.
        of: whose work it is.
        on_postgres: whether it is kept in our Postgres; else only the program is looked at.
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
    """Return the seconds of CPU that a process and its children have used, those that ended included."""
    root = psutil.Process(pid)
    seconds = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended just now; its parent has the sum
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _read(client: int) -> Reading:
    return Reading(*postgres.counters(), cpu(client), cpu(postgres.server().pid))
