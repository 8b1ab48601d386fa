"""The process around a verb: its event loop, and the signals that end it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
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
