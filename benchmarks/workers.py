"""W11: two worker processes compared with one, with the API and the projector in separate processes.

The queue is filled while the workers are suspended (SIGSTOP), so that only the workers and the projector are measured.
"""

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from typing import Any

from benchmarks import postgres
from benchmarks.client import Connection
from benchmarks.costs import cpu
from benchmarks.folders import open_folder
from benchmarks.graphs import campaign_graph
from benchmarks.report import Report, median
from benchmarks.server import Server, start
from orchestrator.bootstrap.database import MIGRATIONS
from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_CLIENTS = 8
_LABEL = "W11 {} of 13 steps from a full queue"


def measure(report: Report, *, full: bool) -> None:
    """Measure one worker, then two, each on a new database."""
    runs = 2000 if full else 1000
    rates = {count: _rate(report, count, runs, repeat=3) for count in (1, 2)}
    label = _LABEL.format(f"{runs:,} runs")
    report.add(label, "two workers against one", rates[2] / rates[1], "ratio", "> 1.3")


def _rate(report: Report, workers: int, runs: int, repeat: int) -> float:
    url = postgres.fresh("workers")
    migrate(url, MIGRATIONS)
    variables = {"ORCHESTRATOR_DATABASE_URL": url}
    with open_folder() as folder, ExitStack() as stack:

        def started(verb: str, *options: str) -> Server:
            server = start(verb, folder, options, variables)
            stack.callback(server.stop)
            return server

        api = started("api", "--port", "0", "--no-projector")
        projector = started("projector")
        crew = [started("worker", "--skills", "benchmarks.skills", "--no-projector") for _ in range(workers)]
        connection = stack.enter_context(postgres.connect("workers"))
        asyncio.run(_register(api))
        asyncio.run(_trigger(api, 20))
        _drain(connection)
        rates, busy = [], []  # busy: cores used by the workers, the projector and Postgres
        for _ in range(repeat):
            _signal(crew, signal.SIGSTOP)
            try:
                asyncio.run(_trigger(api, runs))
            finally:
                before = _spent(crew, projector)
                began = time.perf_counter()
                _signal(crew, signal.SIGCONT)
            _drain(connection)
            seconds = time.perf_counter() - began
            rates.append(runs * 13 / seconds)
            busy.append(
                [(now - earlier) / seconds for now, earlier in zip(_spent(crew, projector), before, strict=True)]
            )
        label = _LABEL.format(f"{runs:,} runs")
        words = "one worker" if workers == 1 else f"{workers} workers"
        report.add(label, words, median(rates), "steps/s")
        for part, cores in zip((words, "the projector", "Postgres"), zip(*busy, strict=True), strict=True):
            report.add(label, f"{words}: CPU of {part}", median(cores), "cores")
    return median(rates)


async def _register(api: Server) -> None:
    async with Connection(api.host, api.port) as client:
        await client.post("/api/v1/workflows", campaign_graph("bench.noop", name="bench.plain"))


async def _trigger(api: Server, runs: int) -> None:
    async def share(number: int) -> None:
        async with Connection(api.host, api.port) as client:
            for seed in range(number, runs, _CLIENTS):
                body = {"workflowName": "bench.plain", "triggerPayload": {"seed": seed}}
                await client.post("/api/v1/runs", body)

    await asyncio.gather(*(share(number) for number in range(_CLIENTS)))


def _spent(crew: list[Server], projector: Server) -> tuple[float, float, float]:
    """Return the seconds of CPU used by the workers, the projector and Postgres."""
    return sum(cpu(worker.process.pid) for worker in crew), cpu(projector.process.pid), cpu(postgres.server().pid)


def _signal(crew: list[Server], number: signal.Signals) -> None:
    for worker in crew:
        os.kill(worker.process.pid, number)


def _drain(connection: Any) -> None:
    while connection.execute(_SQL.queued).fetchone()[0]:
        time.sleep(0.005)
