"""The speed of Postgres itself: single rows, batches, COPY, and the bare statements of the 13-step graph."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from uuid_utils.compat import uuid7

from benchmarks import postgres
from benchmarks.goals import BY_LEVEL
from benchmarks.graphs import levels
from benchmarks.labels import ALONE, AT_ONCE, EXECUTED, SLOW_DISK
from benchmarks.report import Report, median, percentile
from orchestrator.postgres.sql import load_sql

Event = tuple[uuid.UUID, int, str]

_SQL = load_sql(__file__)
_STATE = b"x" * 150  # about the size of a step event
_BATCH = 500
_CLIENTS = 16


def measure(report: Report, *, full: bool) -> None:
    """Measure rows per second, then the graph, then the graph with a flush of 2 ms."""
    postgres.fresh("floor")
    with postgres.connect("floor") as connection:
        connection.execute(_SQL.create_table)
        _rows(report, connection, 100_000 if full else 30_000)
        _graph(report, connection, "", 300 if full else 100)
        with postgres.slow_disk():
            _graph(report, connection, SLOW_DISK, 40 if full else 20)


def new_run() -> uuid.UUID:
    """Return an id that sorts after all earlier ones, like those of real runs."""
    return uuid7()


def by_event(run: uuid.UUID) -> Iterator[list[Event]]:
    """Yield the events of each commit: one event per commit."""
    for batch in by_level(run):
        for event in batch:
            yield [event]


def by_step(run: uuid.UUID) -> Iterator[list[Event]]:
    """Yield the events of each commit: the end of a step and the start of the next."""
    version = itertools.count(1)
    yield [(run, next(version), "RunTriggered")]
    steps = sum(len(level) for level in levels())
    before = "RunStarted"
    for _ in range(steps):
        yield [(run, next(version), before), (run, next(version), "StepStarted")]
        before = "StepCompleted"
    yield [(run, next(version), before), (run, next(version), "RunCompleted")]


def by_level(run: uuid.UUID) -> Iterator[list[Event]]:
    """Yield the events of each commit: the ends of one level and the starts of the next."""
    version = itertools.count(1)
    yield [(run, next(version), "RunTriggered")]
    before = ["RunStarted"]
    for level in levels():
        yield [(run, next(version), topic) for topic in before + ["StepStarted"] * len(level)]
        before = ["StepCompleted"] * len(level)
    yield [(run, next(version), topic) for topic in [*before, "RunCompleted"]]


STYLES: dict[str, Callable[[uuid.UUID], Iterator[list[Event]]]] = {
    "psycopg, a commit per event": by_event,
    "psycopg, a commit per step": by_step,
    BY_LEVEL: by_level,
}


def _rows(report: Report, connection: "psycopg.Connection[Any]", rows: int) -> None:
    label = "Postgres itself"
    rate = median([_rate(2000, lambda: _singly(2000)) for _ in range(3)])
    report.add(label, "rows committed one by one, one client", rate, "rows/s")
    rate = median([_rate(500 * _CLIENTS, _from_many_clients) for _ in range(3)])
    report.add(label, f"rows committed one by one, {_CLIENTS} clients", rate, "rows/s")

    def batches() -> None:
        for _ in range(rows // _BATCH):
            run = new_run()
            _append(connection, [(run, version, "StepCompleted") for version in range(_BATCH)])

    def copy() -> None:
        for _ in range(rows // _BATCH):
            run = new_run()
            with connection.cursor() as cursor, cursor.copy(_SQL.copy) as copying:
                copying.set_types(["uuid", "int8", "text", "bytea"])
                for version in range(_BATCH):
                    copying.write_row((run, version, "StepCompleted", _STATE))

    report.add(label, f"unnest of {_BATCH} rows", median([_rate(rows, batches) for _ in range(3)]), "rows/s")
    report.add(label, f"COPY of {_BATCH} rows", median([_rate(rows, copy) for _ in range(3)]), "rows/s")


def _graph(report: Report, connection: "psycopg.Connection[Any]", suffix: str, runs: int) -> None:
    for name, style in STYLES.items():
        times = []
        for batch in style(new_run()):
            _append(connection, batch)
        for _ in range(runs):
            batches = list(style(new_run()))
            started = time.perf_counter()
            for batch in batches:
                _append(connection, batch)
            times.append((time.perf_counter() - started) * 1000)
        report.add(ALONE + suffix, "p50", percentile(times, 0.5), "ms", of=name)
    together = list(zip(*(by_level(new_run()) for _ in range(500)), strict=True))
    started = time.perf_counter()
    for group in together:
        _append(connection, list(itertools.chain.from_iterable(group)))
    rate = 500 * sum(len(level) for level in levels()) / (time.perf_counter() - started)
    report.add(AT_ONCE.format(500) + suffix, EXECUTED, rate, "steps/s", of="psycopg, a commit per level of all runs")


def _append(connection: "psycopg.Connection[Any]", events: Sequence[Event]) -> None:
    if len(events) == 1:
        connection.execute(_SQL.one_row, (*events[0], _STATE), prepare=True)
        return
    streams, versions, topics = (list(column) for column in zip(*events, strict=True))
    connection.execute(_SQL.rows, (streams, versions, topics, [_STATE] * len(events)), prepare=True)


def _singly(rows: int) -> None:
    run = new_run()
    with postgres.connect("floor") as connection:
        for version in range(rows):
            _append(connection, [(run, version, "StepCompleted")])


def _from_many_clients() -> None:
    clients = [threading.Thread(target=_singly, args=(500,)) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def _rate(rows: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return rows / (time.perf_counter() - started)
