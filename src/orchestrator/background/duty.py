"""Background duties: what a process does all the time beside answering. A duty that fails is started again, visibly."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

from orchestrator.background.pauses import RESTARTS, Backoff, Pauses

logger = logging.getLogger(__name__)

_GOOD_SECONDS = 60.0
"""A duty that went well for so long is restarted at once when it fails, however often it failed before."""

OnRestart = Callable[[str], None]
"""Called with the name of a duty each time it failed and is started again; see the metric `duty_restarts`."""


def ignore(_duty: str) -> None:
    """Count no restarts."""


class DutyThread:
    """A duty in a daemon thread of its own.

    Args:
        name: of the duty and its thread.
        work: does the duty until `stopping` is set, and returns. Whatever it raises starts it again.
        on_restart: told of each failure.
        backoff: the pauses before restarts.
    """

    def __init__(
        self, name: str, work: Callable[[], None], on_restart: OnRestart = ignore, backoff: Backoff = RESTARTS
    ) -> None:
        self._backoff = backoff
        self.stopping = threading.Event()
        self._name = name
        self._work = work
        self._on_restart = on_restart
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Set `stopping`, and wait until the work has returned, up to `timeout` seconds."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _serve(self) -> None:
        pauses = Pauses(self._backoff)
        while not self.stopping.is_set():
            began = monotonic()
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - a thread has nobody above it: it goes on, and says so
                if monotonic() - began > _GOOD_SECONDS:
                    pauses = Pauses(self._backoff)
                told(self._name, error, self._on_restart)
                self.stopping.wait(pauses.next())
            else:
                return


async def keep_going(
    name: str, work: Callable[[], Awaitable[None]], on_restart: OnRestart = ignore, backoff: Backoff = RESTARTS
) -> None:
    """Do a duty on the event loop, again and again when it fails, until it returns or is cancelled."""
    pauses = Pauses(backoff)
    while True:
        began = monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the duty goes on, and says so
            if monotonic() - began > _GOOD_SECONDS:
                pauses = Pauses(backoff)
            told(name, error, on_restart)
            await asyncio.sleep(pauses.next())
        else:
            return


def told(duty: str, error: BaseException, on_restart: OnRestart) -> None:
    """Say that a duty failed and is started again: in the log, and as a number."""
    logger.error("background duty failed, restarting", exc_info=error, extra={"duty": duty})
    on_restart(duty)
