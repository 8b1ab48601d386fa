"""W1 to W4: runs through `orchestrator dev`, from the HTTP request to the last event in the log."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks import postgres
from benchmarks.client import Connection
from benchmarks.costs import metered
from benchmarks.graphs import campaign_graph
from benchmarks.labels import ALONE, AT_ONCE, CACHED, CAUGHT_UP, EXECUTED, ONE_STEP_RUNS, SLOW_DISK
from benchmarks.report import Report, median, percentile
from benchmarks.server import Server, dev

ONE_STEP = {
    "workflowName": "bench.one",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "only",
            "skillId": "bench.noop",
            "input": {"seed": "trigger.seed"},
            "cachePolicy": {"enabled": False},
        }
    ],
}
"""Not cached, like the 13 steps of W1 and W2, because the peers have no cache."""
BATCH = 500
FEWEST_EVENTS = 16
"""RunTriggered, RunStarted, one for each of 13 cached steps, RunCompleted."""


def measure(report: Report, *, full: bool) -> None:
    """Measure the latency of runs alone, the throughput of runs at once, and both again with every step cached."""
    with _serving() as (server, connection):
        asyncio.run(_measure(report, server, connection, full=full))


def measure_slow_disk(report: Report, *, full: bool) -> None:
    """Measure latency and throughput once more with a flush of 2 ms."""
    with _serving() as (server, connection), postgres.slow_disk():
        asyncio.run(_measure_slow_disk(report, server, connection, full=full))


@contextmanager
def _serving() -> "Iterator[tuple[Server, psycopg.Connection[Any]]]":
    """Start `orchestrator dev` on a new database of the Postgres that the peers use."""
    variables = {"ORCHESTRATOR_DATABASE_URL": postgres.fresh("orchestrator")}
    with dev(environment=variables) as (server, _), postgres.connect("orchestrator") as connection:
        yield server, connection


async def _measure_slow_disk(
    report: Report, server: Server, connection: "psycopg.Connection[Any]", *, full: bool
) -> None:
    async with Connection(server.host, server.port) as client:
        for document in (campaign_graph("bench.noop", name="bench.plain"), ONE_STEP):
            await client.post("/api/v1/workflows", document)
        await _latencies(client, connection, "bench.plain", range(20))
        runs = 100 if full else 50
        with metered(report, ALONE + SLOW_DISK, runs, server.process.pid):
            times = await _latencies(client, connection, "bench.plain", range(100, 100 + runs))
            await _caught_up(connection)
        report.add(ALONE + SLOW_DISK, "p50", percentile(times, 0.5), "ms")
        report.add(ALONE + SLOW_DISK, "p95", percentile(times, 0.95), "ms")
    for name, count, steps in [("bench.plain", 500, 13), ("bench.one", 2000, 1)]:
        await _rates(report, server, connection, name, count=count, steps=steps, suffix=SLOW_DISK)


async def _measure(report: Report, server: Server, connection: "psycopg.Connection[Any]", *, full: bool) -> None:
    async with Connection(server.host, server.port) as client:
        for document in (
            campaign_graph("bench.noop", name="bench.plain"),
            campaign_graph("bench.noop", name="bench.cached", cached=True),
            ONE_STEP,
        ):
            await client.post("/api/v1/workflows", document)
        await _latencies(client, connection, "bench.plain", range(30))
        with metered(report, ALONE, 200, server.process.pid):
            times = await _latencies(client, connection, "bench.plain", range(100, 300))
            await _caught_up(connection)
        report.add(ALONE, "p50", percentile(times, 0.5), "ms", "< 5")
        report.add(ALONE, "p95", percentile(times, 0.95), "ms")
        times = await _latencies(client, connection, "bench.cached", range(100))
        report.add(ALONE + ", results stored", "p50", percentile(times, 0.5), "ms")
        await _latencies(client, connection, "bench.cached", [7] * 10)
        times = await _latencies(client, connection, "bench.cached", [7] * 100)
        report.add(CACHED, "p50", percentile(times, 0.5), "ms", "< 10")
        report.add(CACHED, "per step", percentile(times, 0.5) / 13, "ms")
    for name, count, steps in [("bench.plain", 500, 13), ("bench.one", 5000 if full else 2000, 1)] + (
        [("bench.plain", 2000, 13)] if full else []
    ):
        await _rates(report, server, connection, name, count=count, steps=steps)


async def _rates(
    report: Report,
    server: Server,
    connection: "psycopg.Connection[Any]",
    name: str,
    *,
    count: int,
    steps: int,
    suffix: str = "",
) -> None:
    """Measure many runs at once, three times."""
    label = (ONE_STEP_RUNS if steps == 1 else AT_ONCE.format(count)) + suffix
    rates, caught_up = [], []
    for attempt in range(3):
        seconds, all_seconds = await _at_once(server, connection, name, count, attempt)
        rates.append(count * steps / seconds)
        caught_up.append(count * steps / all_seconds)
    report.add(label, EXECUTED, median(rates), "steps/s")
    report.add(label, CAUGHT_UP, median(caught_up), "steps/s")


async def _latencies(client: Connection, connection: "psycopg.Connection[Any]", name: str, seeds: Any) -> list[float]:
    """Return for each run the milliseconds from the request to the commit of its last event."""
    connection.execute("LISTEN orchestrator_events")
    times = []
    for seed in seeds:
        before = _count(connection, "SELECT max(notification_id) FROM orchestrator.events")
        started = time.perf_counter()
        answer = await client.post("/api/v1/runs", {"workflowName": name, "triggerPayload": {"seed": seed}})
        while not _is_over(connection, answer["runId"], before + FEWEST_EVENTS):
            pass  # the steps were executed: two events each
        times.append((time.perf_counter() - started) * 1000)
    return times


def _is_over(connection: "psycopg.Connection[Any]", run_id: str, position: int) -> bool:
    """Wait for the notification of a position, then check the queue: the last event of a run removes it from there.

    A check at every append would cost as much as the run.
    """
    for notice in connection.notifies(timeout=1):
        if int(notice.payload) >= position:
            break
    query = "SELECT NOT EXISTS (SELECT FROM orchestrator.run_queue WHERE run_id = %s)"
    row = connection.execute(query, (run_id,), prepare=True).fetchone()
    return bool(row and row[0])


async def _at_once(
    server: Server, connection: "psycopg.Connection[Any]", name: str, count: int, attempt: int
) -> tuple[float, float]:
    """Trigger many runs at once; return the seconds until all have ended, and until the read models show it."""
    started = time.perf_counter()
    runs = [{"workflowName": name, "triggerPayload": {"seed": f"{attempt}-{seed}"}} for seed in range(count)]
    async with Connection(server.host, server.port) as client:
        for first in range(0, count, BATCH):
            await client.post("/api/v1/runs:batch", {"runs": runs[first : first + BATCH]})
    while _count(connection, "SELECT count(*) FROM orchestrator.run_queue"):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    await _caught_up(connection)
    return seconds, time.perf_counter() - started


async def _caught_up(connection: "psycopg.Connection[Any]") -> None:
    behind = (
        "SELECT (SELECT max(notification_id) FROM orchestrator.events) - min(position) FROM orchestrator.projections"
    )
    while _count(connection, behind):
        await asyncio.sleep(0.02)


def _count(connection: "psycopg.Connection[Any]", query: Any) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
