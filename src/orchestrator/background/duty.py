"""Background duties: work that a process does continuously. A duty that fails is logged, counted and restarted."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

from orchestrator.background.pauses import RESTARTS, Backoff, Pauses

logger = logging.getLogger(__name__)

_STABLE_SECONDS = 60.0
"""After this long without a failure, a failed duty is restarted with the shortest pause again."""

OnRestart = Callable[[str], None]
"""Called with the name of a duty each time it fails and is restarted; see the metric `duty_restarts`."""


def ignore(_duty: str) -> None:
    """Ignore a restart."""


class DutyThread:
    """A duty in its own daemon thread.

    Args:
        name: the name of the duty and its thread.
        work: does the duty and returns when `stopping` is set; it is restarted when it raises.
        on_restart: called after each failure.
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
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Set `stopping` and wait until the work has returned, for up to `timeout` seconds (None: without limit)."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _serve(self) -> None:
        pauses = Pauses(self._backoff)
        while not self.stopping.is_set():
            began = monotonic()
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - nothing above the thread would handle it
                if monotonic() - began > _STABLE_SECONDS:
                    pauses = Pauses(self._backoff)
                told(self._name, error, self._on_restart)
                self.stopping.wait(pauses.next())
            else:
                return


async def keep_going(
    name: str, work: Callable[[], Awaitable[None]], on_restart: OnRestart = ignore, backoff: Backoff = RESTARTS
) -> None:
    """Run a duty on the event loop until it returns or is cancelled; restart it when it fails."""
    pauses = Pauses(backoff)
    while True:
        began = monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - logged, and the duty is restarted
            if monotonic() - began > _STABLE_SECONDS:
                pauses = Pauses(backoff)
            told(name, error, on_restart)
            await asyncio.sleep(pauses.next())
        else:
            return


def told(duty: str, error: BaseException, on_restart: OnRestart) -> None:
    """Log that a duty failed and is restarted, and call `on_restart`."""
    logger.error("background duty failed, restarting", exc_info=error, extra={"duty": duty})
    on_restart(duty)
