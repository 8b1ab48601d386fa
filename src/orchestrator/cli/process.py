"""The process of a command: its event loop, and the signals that stop it."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from orchestrator.settings import forget_secrets

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TASKS_END_SECONDS = 2.0
_STOP_SECONDS = 15.0
"""How long a process may take to stop after the grace period of its executing steps."""


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop, with uvloop if it is installed.

    A task or callback that a skill left on the loop may raise SystemExit or KeyboardInterrupt, which stops asyncio's
    and uvloop's loops. This function then continues: only `main` itself or a signal ends the program. At the end,
    remaining tasks are cancelled, and those that ignore it are abandoned.
    """
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        return _run_to_end(runner, main)
    finally:
        if not _end_tasks(runner.get_loop()):
            runner.close()


def _run_to_end(runner: asyncio.Runner, main: Coroutine[Any, Any, T]) -> T:
    task = runner.get_loop().create_task(main)
    try:
        return runner.run(_joined(task))
    except (SystemExit, KeyboardInterrupt) as error:
        _raise_or_log(error, task)
    while True:
        try:
            return runner.get_loop().run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            _raise_or_log(error, task)


async def _joined(task: "asyncio.Task[T]") -> T:
    return await task


def _raise_or_log(error: BaseException, task: "asyncio.Task[Any]") -> None:
    """Raise an error that must end the program; log one that a skill's code raised.

    While `Stop` handles SIGINT, a KeyboardInterrupt does not come from the terminal.
    """
    by_signal = isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if task.done() or by_signal:
        raise error
    logger.error("a skill's task or callback tried to end the process, ignored", exc_info=error)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> set["asyncio.Task[Any]"]:
    """Cancel all tasks of a loop, and return those that did not end."""
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return tasks
    for task in tasks:
        task.cancel()
    _, left = loop.run_until_complete(asyncio.wait(tasks, timeout=_TASKS_END_SECONDS))
    for task in left:
        logger.warning("task ignored cancellation, abandoned: %s", task.get_coro())
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it was logged above
    return left


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not available on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


def hide_secrets() -> None:
    """Hide this process's secrets from the programs of skills and from other processes of the same user.

    Call this after the settings were read.
    """
    from orchestrator.skills.keeper import hide_memory  # noqa: PLC0415 - commands without skills do not need it

    forget_secrets()
    if sys.platform == "linux":
        hide_memory()


class Stop:
    """A request to stop, by SIGINT (Ctrl-C) or SIGTERM. A second signal ends the process immediately.

    Args:
        grace_seconds: how long executing steps may take. 15 seconds later the process exits anyway.
    """

    def __init__(self, grace_seconds: float = 0.0) -> None:
        self._grace_seconds = grace_seconds
        self._requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.signal: signal.Signals | None = None
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._request, number)

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._requested.wait()

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as in shells; 0 before any signal."""
        return 0 if self.signal is None else 128 + self.signal

    def _request(self, number: signal.Signals) -> None:
        self.signal = number
        self._requested.set()
        for each in _SIGNALS:
            self._loop.remove_signal_handler(each)
        last_resort = threading.Timer(self._grace_seconds + _STOP_SECONDS, self._end)
        last_resort.daemon = True
        last_resort.start()

    def _end(self) -> None:
        logger.critical("did not stop in time, exiting", extra={"seconds": self._grace_seconds + _STOP_SECONDS})
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(self.exit_code)
