"""Skills of the soak: good ones, and some that misbehave in every way that a worker must survive."""

import asyncio
import time
from typing import Any
from zlib import crc32

from orchestrator import StepContext, skill
from tests.chaos.skills import made, noted

STUBBORN_SECONDS = 20.0


class Rude(BaseException):
    """What no `except Exception` catches."""


def _seconds(ctx: StepContext) -> float:
    return 0.05 + crc32(f"{ctx.run_id}{ctx.step_id}".encode()) % 16 / 20


@skill("soak.work")
async def work(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    with noted(ctx):
        await asyncio.sleep(_seconds(ctx))
        return made(given)


@skill("soak.thread")
def thread(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """In a thread, with an artifact. It stops when it is asked to."""
    with noted(ctx):
        ctx.wait(_seconds(ctx) / 2)
        ctx.artifact(str(given).encode() * 100, type="text", filename="note.txt")
        return made(given)


@skill("soak.block")
async def block(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Blocks the event loop, longer than a lease."""
    with noted(ctx):
        time.sleep(given["seconds"])  # noqa: ASYNC251 - that is what it is for
        return made(given)


@skill("soak.rude")
async def rude(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    with noted(ctx):
        await asyncio.sleep(0)
        raise Rude("raised by a skill")


@skill("soak.leave")
def leave(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    with noted(ctx):
        raise SystemExit(3)


@skill("soak.stubborn")
async def stubborn(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Swallows cancellation for a while."""
    with noted(ctx):
        until = time.monotonic() + STUBBORN_SECONDS
        while time.monotonic() < until:
            try:
                await asyncio.sleep(until - time.monotonic())
            except asyncio.CancelledError:
                continue
        return made(given)
