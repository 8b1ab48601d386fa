"""W5: kill -9 the only worker halfway through 100 runs of 20 ms steps, restart it: how soon, what is repeated."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.client import Connection
from benchmarks.folders import open_folder
from benchmarks.graphs import campaign_graph
from benchmarks.labels import ALL_DONE, CRASH, EXECUTING, FIRST_STEP, REPEATED
from benchmarks.report import Report
from benchmarks.server import Server, database, launch, start
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.domain.audit import faults
from orchestrator.domain.events import RunRecovered, RunStarted, RunTriggered, StepCompleted, StepStarted
from orchestrator.eventstore.recorded import Recorded
from orchestrator.settings import Settings

RUNS, STEPS = 100, 13


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Kill `orchestrator dev` halfway and start it again."""
    with open_folder() as folder:
        asyncio.run(_measure(report, folder))


async def _measure(report: Report, folder: Path) -> None:
    journal, data_dir = folder / "journal", folder / "data"
    journal.touch()
    options = ["--port", "0", "--skills", "benchmarks.skills"]
    environment = {"BENCH_JOURNAL": str(journal)}
    server = start("api", data_dir, ["--port", "0"])
    try:
        await _trigger(server)
        server.stop()
        server = launch("dev", data_dir, options, environment)
        while _lines(journal, "end") < RUNS * STEPS // 2:
            await asyncio.sleep(0.005)
        server.kill()
        began = time.monotonic()
        server = start("dev", data_dir, options, environment)
        ready = time.monotonic() - began
        with database(data_dir) as connection:
            while connection.execute("SELECT 1 FROM orchestrator.run_queue LIMIT 1").fetchone():
                await asyncio.sleep(0.01)
            done = time.monotonic() - began
        resumed = min(when for when in _started(journal) if when > began) - began
        report.add(CRASH, FIRST_STEP, resumed, "s", "< 1")
        report.add(CRASH, "ready again after", ready, "s")
        report.add(CRASH, ALL_DONE, done, "s")
        with open_core(Settings(data_dir=data_dir)) as core:
            _account(report, core)
    finally:
        server.stop()


async def _trigger(server: Server) -> None:
    """Trigger all runs before a worker starts, so that it claims all of them together."""
    async with Connection(server.host, server.port) as client:
        await client.post("/api/v1/workflows", campaign_graph("bench.sleep", name="bench.sleep"))
        for seed in range(RUNS):
            await client.post("/api/v1/runs", {"workflowName": "bench.sleep", "triggerPayload": {"seed": seed}})


def _account(report: Report, core: Core) -> None:
    """Report what the two processes did, according to the log."""
    histories = _histories(core)
    first, *_ = (one.actor for history in histories.values() for one in history if isinstance(one.event, RunStarted))
    started, completed, again, wrong, over = set(), set(), set(), 0, 0
    for run_id, history in histories.items():
        for one in history:
            match one.event:
                case StepStarted(step=step):
                    (started if one.actor == first else again).add((run_id, step))
                case StepCompleted(step=step) if one.actor == first:
                    completed.add((run_id, step))
        trigger = history[0].event
        assert isinstance(trigger, RunTriggered)
        workflow = core.workflows.get("default", trigger.workflow_name, trigger.workflow_version)
        wrong += len(faults(run_id, workflow, [(one.version, one.event) for one in history]))  # type: ignore[misc]
        over += any(isinstance(one.event, RunRecovered) for one in history)
    report.add(CRASH, "runs taken over", over, "runs")
    report.add(CRASH, EXECUTING, len(started - completed), "steps")
    report.add(CRASH, REPEATED, len(again & (started - completed)), "steps")
    report.add(CRASH, "completed steps repeated", len(again & completed), "steps", "0")
    report.add(CRASH, "faults in the log", wrong, "faults", "0")


def _histories(core: Core) -> dict[str, list[Recorded]]:
    histories: dict[str, list[Recorded]] = {}
    for one in core.log.read_log(0, 1_000_000):
        if isinstance(one.event, RunTriggered) or one.stream_id in histories:
            histories.setdefault(one.stream_id, []).append(one)
    return histories


def _lines(journal: Path, word: str) -> int:
    return sum(line.startswith(word) for line in journal.read_text().splitlines())


def _started(journal: Path) -> Iterator[float]:
    """Yield when executions began, in seconds of the monotonic clock, which all processes of a machine share."""
    for line in journal.read_text().splitlines():
        word, *_, when = line.split()
        if word == "start":
            yield float(when)
