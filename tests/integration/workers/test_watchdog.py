"""The watchdog of the event loop: names what blocks it, keeps the lease, and ends what does not end."""

import asyncio
import logging
import subprocess
import sys
import threading
import time

import pytest

from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.workers.watchdog import EXIT_CODE, Watchdog
from tests.waiting import until


async def block_until(event: threading.Event) -> None:
    """A coroutine as a user may write it: it does not let go of the loop."""
    event.wait(30)


async def test_what_blocks_the_loop_is_named_and_the_lease_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    beaten, calls = threading.Event(), []

    def keep_lease() -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise DatabaseUnavailable("away")
        beaten.set()

    watchdog = Watchdog(keep_lease, pause_seconds=0.1, stall_seconds=60, end=lambda _: pytest.fail("it may go on"))
    watchdog.start()
    try:
        await block_until(beaten)
        told = "event loop is free again"
        await until(lambda: caplog.text, 20, "the loop is free", right=lambda text: told in text)
    finally:
        watchdog.stop()
    blocked = next(record for record in caplog.records if record.getMessage() == "event loop blocked")
    assert "block_until" in blocked.stack  # type: ignore[attr-defined]
    assert len(calls) >= 2


async def test_a_loop_that_turns_is_left_alone() -> None:
    calls: list[int] = []
    watchdog = Watchdog(lambda: calls.append(1), pause_seconds=0.1, stall_seconds=1, end=calls.append)
    watchdog.start()
    for _ in range(25):
        await asyncio.sleep(0.1)  # the time itself is the subject: the loop turns slowly, and turns
    watchdog.stop()
    assert calls == []


async def test_a_loop_that_stays_blocked_ends_its_process(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    watchdog = Watchdog(None, pause_seconds=0.1, stall_seconds=1, end=end)
    watchdog.start()
    await block_until(ended)
    watchdog.stop()
    assert codes == [EXIT_CODE]
    assert "ending" in caplog.text
    assert any("block_until" in getattr(record, "stack", "") for record in caplog.records)


HOLDS_THE_INTERPRETER = """
import asyncio, re
from orchestrator.workers import watchdog
watchdog._LAST_RESORT_SECONDS = 1.0

async def main():
    watchdog.Watchdog(None, pause_seconds=0.1, stall_seconds=1).start()
    await asyncio.sleep(1.2)
    re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter's lock, so no thread can run

asyncio.run(main())
"""


def test_even_what_holds_the_interpreter_comes_to_an_end() -> None:
    command = [sys.executable, "-c", HOLDS_THE_INTERPRETER]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "in main" in ended.stderr, "the place is told"
