"""R3: the time until a run is `cancelled` and its skill has stopped, while other runs execute."""

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.client import Connection
from benchmarks.folders import open_folder
from benchmarks.report import Report, percentile
from benchmarks.server import Server, dev

LABEL = "R3 a run cancelled while 100 execute"
CANCELLED, OTHERS = 100, 100

TICKS: dict[str, Any] = {
    "workflowName": "bench.ticks",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": f"s{number}",
            "skillId": "bench.tick",
            "dependsOn": [f"s{number - 1}"] if number else [],
            "cachePolicy": {"enabled": False},
        }
        for number in range(500)
    ],
}


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Cancel 100 runs, one after the other, through `orchestrator dev`, while 100 other runs execute."""
    with open_folder() as folder:
        journal = folder / "journal"
        journal.touch()
        with dev(environment={"BENCH_JOURNAL": str(journal)}) as (server, _):
            asyncio.run(_measure(report, server, journal))


async def _measure(report: Report, server: Server, journal: Path) -> None:
    answered, asked = [], {}
    async with Connection(server.host, server.port) as client:
        await client.post("/api/v1/workflows", TICKS)
        runs = [
            (await client.post("/api/v1/runs", {"workflowName": "bench.ticks", "triggerPayload": {}}))["runId"]
            for _ in range(CANCELLED + OTHERS)
        ]
        while (await client.get(f"/api/v1/runs/{runs[-1]}"))["status"] != "running":
            await asyncio.sleep(0.05)
        for run_id in runs[:CANCELLED]:
            asked[run_id] = time.monotonic()
            await client.post(f"/api/v1/runs/{run_id}/cancel", {})
            while (await client.get(f"/api/v1/runs/{run_id}"))["status"] != "cancelled":
                await asyncio.sleep(0.001)
            answered.append((time.monotonic() - asked[run_id]) * 1000)
    stops = _stops(journal)
    stopped = [(stops[run_id] - began) * 1000 for run_id, began in asked.items() if run_id in stops]
    report.add(LABEL, "request to `cancelled`, p50", percentile(answered, 0.5), "ms")
    report.add(LABEL, "request to `cancelled`, p95", percentile(answered, 0.95), "ms", "< 200")
    report.add(LABEL, f"request to skill stopped, p95 of {len(stopped)}", percentile(stopped, 0.95), "ms")


def _stops(journal: Path) -> dict[str, float]:
    """Return when the skill of each run was stopped, in seconds of the monotonic clock."""
    return {run_id: float(when) for _, run_id, when in (line.split() for line in journal.read_text().splitlines())}
