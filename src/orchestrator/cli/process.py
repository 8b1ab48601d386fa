"""The process around a verb: its event loop, and the signals that end it."""

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
"""How long a process may take to stop, beyond the grace period of the steps that are executing."""


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, uvloop's where there is one.

    A task or callback that a skill left on the loop may raise SystemExit or KeyboardInterrupt. Both loops stop then;
    this one goes on, and only `main` itself or a signal ends the program. Tasks that are left at the end are cancelled;
    those that swallow that are left behind.
    """
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        return _run_through(runner, main)
    finally:
        if not _end_tasks(runner.get_loop()):
            runner.close()


def _run_through(runner: asyncio.Runner, main: Coroutine[Any, Any, T]) -> T:
    task = runner.get_loop().create_task(main)
    try:
        return runner.run(_joined(task))
    except (SystemExit, KeyboardInterrupt) as error:
        _refuse_end(error, task)
    while True:
        try:
            return runner.get_loop().run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            _refuse_end(error, task)


async def _joined(task: "asyncio.Task[T]") -> T:
    return await task


def _refuse_end(error: BaseException, task: "asyncio.Task[Any]") -> None:
    """Raise an error that is to end the program; log one that only code of a skill raised.

    While `Stop` handles SIGINT, no KeyboardInterrupt comes from the terminal.
    """
    by_signal = isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if task.done() or by_signal:
        raise error
    logger.error("a task or callback of a skill tried to end the process; the process goes on", exc_info=error)


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


def hide_secrets() -> None:
    """Keep what this process knows from the programs of skills, and from others of the same user.

    Call it once the settings were read.
    """
    from orchestrator.skills.keeper import hide_memory  # noqa: PLC0415 - verbs without skills do without it

    forget_secrets()
    if sys.platform == "linux":
        hide_memory()


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
