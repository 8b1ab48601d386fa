"""A background duty that fails is started again, and says so."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from orchestrator.background.duty import DutyThread, keep_going
from orchestrator.background.pauses import Backoff

QUICK = Backoff(0.001, 0.001)


class Panic(BaseException):
    """What no `except Exception` catches."""


FAULTS = [
    ZeroDivisionError("odd"),
    RecursionError("deep"),
    MemoryError(),
    Panic("rust"),
    SystemExit(3),
    GeneratorExit(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_thread_that_fails_in_whatever_way_goes_on(fault: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    going = threading.Event()
    left, restarted = [fault] * 3, []

    def work() -> None:
        if left:
            raise left.pop()
        going.set()
        duty.stopping.wait()

    duty = DutyThread("painter", work, restarted.append, QUICK)
    duty.start()
    assert going.wait(20)
    duty.stop()
    assert restarted == ["painter"] * 3
    records = [record for record in caplog.records if record.getMessage() == "background duty failed, restarting"]
    assert [record.duty for record in records] == ["painter"] * 3  # type: ignore[attr-defined]
    assert all(record.exc_info is not None for record in records)


def test_a_thread_that_is_done_ends() -> None:
    done: list[int] = []
    duty = DutyThread("once", lambda: done.append(1))
    duty.start()
    duty.stop(20)
    assert done == [1]


def test_one_that_fails_while_it_is_stopped_is_not_started_again() -> None:
    begun, restarted = threading.Event(), []

    def work() -> None:
        begun.set()
        duty.stopping.wait()
        raise ZeroDivisionError

    duty = DutyThread("late", work, restarted.append)
    duty.start()
    assert begun.wait(20)
    duty.stop(20)
    assert restarted == ["late"]


async def test_a_task_that_fails_goes_on_until_it_is_cancelled() -> None:
    going, left, restarted = asyncio.Event(), 3, []

    async def work() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ZeroDivisionError
        going.set()
        await asyncio.Event().wait()

    def run(done: Callable[[str], None]) -> "asyncio.Task[None]":
        return asyncio.create_task(keep_going("beater", work, done, QUICK))

    task = run(restarted.append)
    await going.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert restarted == ["beater"] * 3
