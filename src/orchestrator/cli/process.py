"""The process around a verb: its event loop, and the signals that end it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, uvloop's where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class Stop:
    """The wish to end, by SIGINT (Ctrl-C) or SIGTERM. A second signal has its usual effect: it ends at once."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.signal: signal.Signals | None = None
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._ask, number)

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return when a signal has come."""
        await self._asked.wait()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what `work` returns, or None when a signal came first; then `work` is cancelled."""
        working = asyncio.ensure_future(work)
        asking = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait((working, asking), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            for task in (working, asking):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it; 0 when none has come."""
        return 0 if self.signal is None else 128 + self.signal

    def _ask(self, number: signal.Signals) -> None:
        self.signal = number
        self._asked.set()
        for each in _SIGNALS:
            self._loop.remove_signal_handler(each)
