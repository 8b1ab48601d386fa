"""The process around a verb: its event loop, and the signals that end it."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TASKS_END_SECONDS = 2.0
_STOP_SECONDS = 15.0
"""How long a process may take to stop, beyond the grace period of the steps that are executing."""


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, uvloop's where there is one.

    Tasks that are left at the end are cancelled; those that swallow that are left behind.
    """
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        return runner.run(main)
    finally:
        if not _end_tasks(runner.get_loop()):
            runner.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> set["asyncio.Task[Any]"]:
    """Cancel all tasks of a loop, and return those that did not end."""
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return tasks
    for task in tasks:
        task.cancel()
    _, left = loop.run_until_complete(asyncio.wait(tasks, timeout=_TASKS_END_SECONDS))
    for task in left:
        logger.warning("a task ignores cancellation, left behind: %s", task.get_coro())
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it was said just now
    return left


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class Stop:
    """The wish to end, by SIGINT (Ctrl-C) or SIGTERM. A second signal has its usual effect: it ends at once.

    Args:
        grace_seconds: how long steps that are executing may take. The process ends a little later, whatever it does.
    """

    def __init__(self, grace_seconds: float = 0.0) -> None:
        self._grace_seconds = grace_seconds
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.signal: signal.Signals | None = None
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._ask, number)

    async def wait(self) -> None:
        """Return when a signal has come."""
        await self._asked.wait()

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it; 0 when none has come."""
        return 0 if self.signal is None else 128 + self.signal

    def _ask(self, number: signal.Signals) -> None:
        self.signal = number
        self._asked.set()
        for each in _SIGNALS:
            self._loop.remove_signal_handler(each)
        last_resort = threading.Timer(self._grace_seconds + _STOP_SECONDS, self._end)
        last_resort.daemon = True
        last_resort.start()

    def _end(self) -> None:
        logger.critical("did not stop in time, ending", extra={"seconds": self._grace_seconds + _STOP_SECONDS})
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(self.exit_code)
