"""Skills of the campaign-shaped runs: what a step makes depends on its input alone. Each execution is noted."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from orchestrator import SkillError, StepContext, skill
from orchestrator.domain.fingerprint import fingerprint

STEP_SECONDS, JOURNAL = "CHAOS_STEP_SECONDS", "CHAOS_JOURNAL"
"""The variables that say how long a step takes on average, and where executions are noted."""


def made(given: Mapping[str, Any]) -> dict[str, str]:
    """What a step makes of an input."""
    return {"made": fingerprint(given)[:16]}


@skill("chaos.steady")
async def steady(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    await _take_time(ctx)
    return made(given)


@skill("chaos.moody")
async def moody(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Fails on every odd attempt."""
    await _take_time(ctx)
    if ctx.attempt % 2:
        raise SkillError("MOODY", "not this time")
    return made(given)


async def _take_time(ctx: StepContext) -> None:
    # each step of a run takes a time of its own: results come one by one, and an append seldom holds two
    with noted(ctx):
        await asyncio.sleep(float(os.environ[STEP_SECONDS]) * (0.5 + crc32(ctx.step_id.encode()) % 16 / 16))


@contextmanager
def noted(ctx: StepContext) -> Iterator[None]:
    """Note when an attempt begins to execute, and when it ends, however it does."""
    _note("begin", ctx)
    try:
        yield
    finally:
        _note("end", ctx)


def _note(what: str, ctx: StepContext) -> None:
    milliseconds = time.time_ns() // 1_000_000
    line = f"{what} {ctx.run_id} {ctx.step_id} {ctx.attempt} {milliseconds} {os.getpid()}\n"
    journal = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, line.encode())  # whole or not at all, whoever else writes
    finally:
        os.close(journal)
