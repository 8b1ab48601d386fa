"""W5: 100 runs of 20 ms steps, kill -9 of the only worker half way, restart: how soon, and what is repeated."""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.client import Connection
from benchmarks.graphs import campaign_graph
from benchmarks.report import Report
from benchmarks.server import database, start

RUNS = 100


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Kill `orchestrator dev` half way through and start it again."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_measure(report, Path(folder)))


async def _measure(report: Report, folder: Path) -> None:
    journal = folder / "journal"
    journal.touch()
    options = ["--port", "0", "--skills", "benchmarks.skills"]
    environment = {"BENCH_JOURNAL": str(journal)}
    data_dir = folder / "data"
    server = start("dev", data_dir, options, environment)
    try:
        async with Connection(server.host, server.port) as client:
            await client.post("/api/v1/workflows", campaign_graph("bench.sleep", name="bench.sleep"))
            for seed in range(RUNS):
                body = {"workflowName": "bench.sleep", "triggerPayload": {"seed": seed}}
                await client.post("/api/v1/runs", body)
        half = RUNS * 13 // 2
        while _lines(journal, "end") < half:
            await asyncio.sleep(0.005)
        server.kill()
        ended = {line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in _read(journal) if line.startswith("end")}
        started_before = _lines(journal, "start")
        began = time.perf_counter()
        server = start("dev", data_dir, options, environment)
        ready = time.perf_counter() - began
        while _lines(journal, "start") == started_before:
            await asyncio.sleep(0.001)
        first = time.perf_counter() - began
        with database(data_dir) as connection:
            while True:
                row = connection.execute("SELECT count(*) FROM orchestrator.run_queue").fetchone()
                if row and row[0] == 0:
                    break
                await asyncio.sleep(0.01)
            done = time.perf_counter() - began
            completed_twice = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM orchestrator.events WHERE topic = 'RunCompleted'"
                " GROUP BY originator_id HAVING count(*) > 1) AS twice"
            ).fetchone()
    finally:
        server.stop()
    executions = Counter(line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in _read(journal) if line.startswith("start"))
    repeated = [step for step, count in executions.items() if count > 1]
    report.add("W5 kill -9 half way", "ready again after", ready, "s")
    report.add("W5 kill -9 half way", "first step after process start", first, "s", "< 1")
    report.add("W5 kill -9 half way", "all runs completed after", done, "s")
    report.add("W5 kill -9 half way", "steps repeated of 1,300", len(repeated), "steps")
    report.add("W5 kill -9 half way", "of them ended but not recorded", len(ended & set(repeated)), "steps")
    report.add(
        "W5 kill -9 half way", "runs completed twice", completed_twice[0] if completed_twice else -1, "runs", "0"
    )


def _read(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


def _lines(journal: Path, word: str) -> int:
    return sum(line.startswith(word) for line in _read(journal))
