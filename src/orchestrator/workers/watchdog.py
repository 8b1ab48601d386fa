"""The watchdog: a thread that watches the event loop, since a loop that is blocked can do nothing about it.

A coroutine that computes or sleeps without awaiting holds up every run of its worker. The watchdog names it in the log,
keeps the worker's lease meanwhile, so that no other worker executes the same steps, and ends the process when it lasts
for too long: then its runs are taken over, and the attempts count as lost.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic

from orchestrator.background.duty import DutyThread, OnRestart, ignore
from orchestrator.postgres.unavailable import DatabaseUnavailable

logger = logging.getLogger(__name__)

EXIT_CODE = 70
"""Of a process that was ended because its event loop was blocked (EX_SOFTWARE of sysexits.h)."""

_TICK_SECONDS = 0.5
_WARN_AFTER_SECONDS = 1.0
_MAX_FRAMES = 12
_LAST_RESORT_SECONDS = 10.0
"""How long after the limit the interpreter ends the process by itself: the watchdog is blocked as well."""


class Watchdog:
    """Watches the event loop on whose thread it was started.

    Args:
        keep_lease: writes a heartbeat; called in the watchdog's thread. None when there is no worker.
        pause_seconds: between two of those heartbeats.
        stall_seconds: how long the loop may be blocked before the process is ended.
        end: ends the process.
        on_restart: told when the thread failed and was started again.
    """

    def __init__(
        self,
        keep_lease: Callable[[], None] | None,
        *,
        pause_seconds: float,
        stall_seconds: float,
        end: Callable[[int], object] = os._exit,
        on_restart: OnRestart = ignore,
    ) -> None:
        self._keep_lease = keep_lease
        self._pause_seconds = pause_seconds
        self._stall_seconds = stall_seconds
        self._end = end
        self._duty = DutyThread("watchdog", self._watch, on_restart)
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._watched = 0

    def start(self) -> None:
        """Begin to watch; call it on the event loop's thread."""
        self._watched = threading.get_ident()
        self._tick()
        self._duty.start()

    def stop(self) -> None:
        """Watch no more."""
        self._duty.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        """On the loop: show that it turns."""
        self._ticks += 1
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _watch(self) -> None:
        seen, blocked, warned, beat_at = -1, 0.0, False, _WARN_AFTER_SECONDS
        before = monotonic()
        try:
            while not self._duty.stopping.wait(_TICK_SECONDS):
                self._arm_last_resort()
                now = monotonic()
                # A process that was suspended as a whole was not blocked meanwhile.
                passed, before = min(now - before, 2 * _TICK_SECONDS), now
                if self._ticks != seen:
                    if warned:
                        logger.info("event loop is free again", extra={"seconds": round(blocked, 1)})
                    seen, blocked, warned, beat_at = self._ticks, 0.0, False, _WARN_AFTER_SECONDS
                    continue
                blocked += passed
                if blocked >= self._stall_seconds:
                    self._give_up(blocked)
                    return
                if blocked >= _WARN_AFTER_SECONDS and not warned:
                    warned = True
                    logger.warning("event loop blocked", extra={"seconds": round(blocked, 1), **self._place()})
                if blocked >= beat_at:
                    beat_at = blocked + self._pause_seconds
                    self._beat()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _arm_last_resort(self) -> None:
        """See to it that the process ends even if no Python code can run: something holds the interpreter's lock."""
        try:
            faulthandler.dump_traceback_later(self._stall_seconds + _LAST_RESORT_SECONDS, exit=True)
        except (RuntimeError, ValueError, OSError):  # stderr is closed, or no file
            return

    def _beat(self) -> None:
        if self._keep_lease is None:
            return
        try:
            self._keep_lease()
        except DatabaseUnavailable as error:
            logger.warning("event loop blocked and no heartbeat written: %s", error)

    def _give_up(self, seconds: float) -> None:
        place = self._place()
        logger.critical("event loop blocked for too long, ending", extra={"seconds": round(seconds, 1), **place})
        for handler in logging.getLogger().handlers:
            handler.flush()
        self._end(EXIT_CODE)

    def _place(self) -> dict[str, str]:
        """Return where the loop's thread is: the innermost frames, those of the user's code last."""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - there is no public way to another thread
        frames = traceback.extract_stack(frame)[-_MAX_FRAMES:] if frame is not None else []
        told = [f"{one.filename}:{one.lineno} in {one.name}" for one in frames]
        return {"where": told[-1] if told else "unknown", "stack": " > ".join(told)}
