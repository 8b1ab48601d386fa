"""Skills for benchmarks: one that does nothing, and some that take a fixed time and record when they ran."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from orchestrator import StepContext, skill


@skill("bench.noop")
async def noop(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:  # noqa: A002, ARG001
    """Do nothing."""
    return {}


@skill("bench.sleep")
async def sleep(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:  # noqa: A002, ARG001
    """Take 20 ms, and write lines to the journal with the attempt and the times (of the monotonic clock)."""
    journal = os.environ.get("BENCH_JOURNAL")
    if journal:
        _note(journal, f"start {ctx.run_id} {ctx.step_id} {ctx.attempt}")
    await asyncio.sleep(0.02)
    if journal:
        _note(journal, f"end {ctx.run_id} {ctx.step_id} {ctx.attempt}")
    return {}


@skill("bench.tick")
async def tick(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:  # noqa: A002, ARG001
    """Take 200 ms; when cancelled, write a line with the time to the journal."""
    try:
        await asyncio.sleep(0.2)
    except asyncio.CancelledError:
        if journal := os.environ.get("BENCH_JOURNAL"):
            _note(journal, f"stop {ctx.run_id}")
        raise
    return {}


def _note(journal: str, line: str) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{line} {time.monotonic():.6f}\n")
