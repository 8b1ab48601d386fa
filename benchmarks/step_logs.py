"""W12: 1,000,000 lines printed in one attempt: what a line costs beside writing it to a file, and the worker's memory.

The cost is CPU time of the whole process, so it includes the thread that writes the log.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks import postgres
from benchmarks.folders import open_folder
from benchmarks.report import Report
from orchestrator.application.caller import Caller
from orchestrator.application.calls import Calls
from orchestrator.application.core import Core
from orchestrator.application.step_logs import LogScope
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.settings import load_settings
from orchestrator.skills import SkillRegistry, skill
from orchestrator.workflows import load_document

LABEL = "W12 1,000,000 lines printed in one attempt"
LINES = 1_000_000
TEXT = "row {:>9} of the import was read, checked and kept; nothing is to be said about it"

PRINTS: dict[str, Any] = {
    "workflowName": "bench.prints",
    "version": "1.0.0",
    "steps": [{"stepId": "print", "skillId": "bench.print", "cachePolicy": {"enabled": False}}],
}
_MEGABYTE = 1 << 20


class Took:
    """What was measured: CPU seconds for all lines in a file and in the log, wall seconds, and memory in megabytes."""

    def __init__(self) -> None:
        self.began = 0.0
        self.file = 0.0
        self.log = 0.0
        self.log_seconds = 0.0
        self.before = 0.0
        self.most = 0.0


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Print all lines in a worker with an unlimited log, and check that each is kept."""
    with open_folder() as folder:
        settings = load_settings(database_url=postgres.fresh("logs"), data_dir=folder, step_log_bytes=1 << 33)
        with open_core(settings, migrates=True) as core:
            took, kept, cut = asyncio.run(_measure(core, folder / "lines.txt"))
    if (kept, cut) != (LINES, 0):
        raise RuntimeError(f"{kept:,} of {LINES:,} lines are kept, {cut:,} were cut")
    report.add(LABEL, "CPU of a line, more than in a file", (took.log - took.file) / LINES * 1e6, "µs", "< 5")
    report.add(LABEL, "CPU of a line", took.log / LINES * 1e6, "µs")
    report.add(LABEL, "CPU of a line", took.file / LINES * 1e6, "µs", of="print to a file")
    report.add(LABEL, "lines a second", LINES / took.log_seconds, "lines/s")
    report.add(LABEL, "memory of the worker grows by, at most", took.most - took.before, "MB", "< 64")


async def _measure(core: Core, file: Path) -> tuple[Took, int, int]:
    took = Took()

    @skill("bench.print")
    def print_lines() -> dict[str, Any]:
        began = time.process_time()
        with file.open("w", encoding="utf-8") as out:
            for number in range(LINES):
                print(TEXT.format(number), file=out)
        took.file = time.process_time() - began
        took.before = took.most = _memory()
        took.began, began_at = time.process_time(), time.perf_counter()
        for number in range(LINES):
            print(TEXT.format(number))
            if not number % 20_000:
                took.most = max(took.most, _memory())
        took.log_seconds = time.perf_counter() - began_at
        return {}

    await core.workflows.register(load_document(PRINTS, "bench"), tenant="default", actor="bench")
    async with open_worker(core, SkillRegistry([print_lines])):
        calls = Calls(core, Caller("default", "bench"), build_projector(core).project_batch)
        run_id = (await calls.trigger("bench.prints"))["runId"]
        async for _ in calls.events(run_id):
            pass
    took.log = time.process_time() - took.began  # also what the writer did after the end of the attempt
    kept = 0  # the worker has written everything by now
    async for _ in calls.logs(run_id, "print"):
        kept += 1
    page = await calls.step_logs.page(LogScope("default", run_id))
    return took, kept, page.cut


def _memory() -> float:
    return psutil.Process(os.getpid()).memory_info().rss / _MEGABYTE
