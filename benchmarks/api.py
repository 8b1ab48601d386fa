"""W9: the HTTP API without a worker: one `orchestrator api`, and 32 clients on the same machine."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from benchmarks.client import Connection
from benchmarks.folders import open_folder
from benchmarks.report import Report, percentile
from benchmarks.runs import ONE_STEP
from benchmarks.server import Server, database, start
from orchestrator.postgres.sql import load_sql

CLIENTS = 32
RUNS = 1_000_000

_SQL = load_sql(__file__)
_BODY = {"workflowName": "bench.one", "triggerPayload": {"seed": 1}}
_LISTS = {
    "newest": "",
    "by status": "&status=failed",
    "by workflow": "&workflowName=bench.one",
    "by a label of 0.1 %": "&label=team:team-10",
}

Ask = Callable[[Connection, int], Awaitable[Any]]


def measure(report: Report, *, full: bool) -> None:
    """Measure triggering runs, reading one, and listing them with a million runs in the database."""
    with open_folder() as folder:
        server = start("api", folder, ["--port", "0"])
        try:
            asyncio.run(_measure(report, server, 30_000 if full else 10_000))
            with database(folder) as connection:
                _fill(connection)
                asyncio.run(_list(report, server, 500 if full else 200))
        finally:
            server.stop()


async def _measure(report: Report, server: Server, requests: int) -> None:
    async with Connection(server.host, server.port) as client:
        await client.post("/api/v1/workflows", ONE_STEP)
    made: list[str] = []

    async def post(client: Connection, _: int) -> None:
        made.append((await client.post("/api/v1/runs", _BODY))["runId"])

    async def get(client: Connection, number: int) -> None:
        await client.get(f"/api/v1/runs/{made[number * 7919 % len(made)]}")

    await _load(server, post, 2000)
    rate, times = await _load(server, post, requests)
    report.add("W9 POST /runs, 32 clients", "accepted and on disk", rate, "runs/s", ">= 1,500")
    report.add("W9 POST /runs, 32 clients", "p50", percentile(times, 0.5), "ms")
    report.add("W9 POST /runs, 32 clients", "p99", percentile(times, 0.99), "ms", "< 60")
    await _caught_up(server)
    await _load(server, get, 2000)
    rate, times = await _load(server, get, requests)
    report.add("W9 GET /runs/{id}, 32 clients", "answered", rate, "requests/s", ">= 2,500")
    report.add("W9 GET /runs/{id}, 32 clients", "p50", percentile(times, 0.5), "ms")
    report.add("W9 GET /runs/{id}, 32 clients", "p99", percentile(times, 0.99), "ms", "< 60")


async def _load(server: Server, ask: Ask, requests: int) -> tuple[float, list[float]]:
    """Let every client send one request after the other; return requests per second, and the milliseconds of each."""
    numbers = iter(range(requests))
    times: list[float] = []

    async def work() -> None:
        async with Connection(server.host, server.port) as client:
            for number in numbers:
                asked = time.perf_counter()
                await ask(client, number)
                times.append((time.perf_counter() - asked) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    return requests / (time.perf_counter() - started), times


async def _caught_up(server: Server) -> None:
    async with Connection(server.host, server.port) as client:
        while True:
            try:
                if (await client.get("/api/v1/health/ready"))["lag"] == 0:
                    return
            except RuntimeError:
                pass  # 503: the projector lags
            await asyncio.sleep(0.1)


def _fill(connection: "psycopg.Connection[Any]") -> None:
    connection.execute("SET synchronous_commit = off")
    connection.execute(_SQL.runs, {"runs": RUNS})
    connection.execute(_SQL.steps)
    connection.execute(_SQL.settle)


async def _list(report: Report, server: Server, requests: int) -> None:
    async with Connection(server.host, server.port) as client:
        for what, query in _LISTS.items():
            times = []
            for _ in range(requests):
                asked = time.perf_counter()
                await client.get(f"/api/v1/runs?limit=50{query}")
                times.append((time.perf_counter() - asked) * 1000)
            report.add(f"W9 GET /runs, 50 of {RUNS:,}, {what}", "p95", percentile(times, 0.95), "ms", "< 20")
