"""The watchdog: a thread that detects a blocked event loop.

A coroutine that computes or sleeps without awaiting holds up every run of its worker. The watchdog logs where the loop
is blocked and keeps the worker's lease, so that no other worker executes the same steps. If the loop stays blocked for
too long, the watchdog ends the process: other workers take over its runs, and the attempts count as lost.
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
"""The exit code of a process that ends because its event loop is blocked (EX_SOFTWARE of sysexits.h)."""

_TICK_SECONDS = 0.5
_WARN_AFTER_SECONDS = 1.0
_MAX_FRAMES = 12
_LAST_RESORT_SECONDS = 10.0
"""How long after the limit the interpreter itself ends the process, in case the watchdog is blocked too."""


class Watchdog:
    """Watches the event loop of the thread it is started on.

    Args:
        keep_lease: writes a heartbeat; called on the watchdog's thread. None when there is no worker.
        pause_seconds: the time between two of those heartbeats.
        stall_seconds: how long the loop may be blocked before the process is ended.
        end: ends the process.
        on_restart: called when the thread failed and was restarted.
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
        """Start watching; call this on the event loop's thread."""
        self._watched = threading.get_ident()
        self._tick()
        self._duty.start()

    def stop(self) -> None:
        """Stop watching."""
        self._duty.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        """Count a tick on the event loop, which proves that it is not blocked."""
        self._ticks += 1
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _watch(self) -> None:
        seen, blocked, warned, beat_at = -1, 0.0, False, _WARN_AFTER_SECONDS
        before = monotonic()
        try:
            while not self._duty.stopping.wait(_TICK_SECONDS):
                self._arm_last_resort()
                now = monotonic()
                # Cap the elapsed time: a suspended process did not have a blocked loop.
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
        """Make sure that the process ends even if no Python code can run because something holds the GIL."""
        try:
            faulthandler.dump_traceback_later(self._stall_seconds + _LAST_RESORT_SECONDS, exit=True)
        except (RuntimeError, ValueError, OSError):  # stderr is closed or is not a file
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
        """Return where the event loop's thread is: its innermost frames, outermost first."""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - there is no public way to another thread
        frames = traceback.extract_stack(frame)[-_MAX_FRAMES:] if frame is not None else []
        lines = [f"{one.filename}:{one.lineno} in {one.name}" for one in frames]
        return {"where": lines[-1] if lines else "unknown", "stack": " > ".join(lines)}
