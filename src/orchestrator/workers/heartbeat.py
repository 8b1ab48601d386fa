"""The heartbeat of a worker: it keeps the lease, frees the runs of dead workers, and warns before the lease lapses.

    beat -> sweep if other workers own runs -> report the reply to the worker -> pause

A worker that cannot write heartbeats must stop executing, because other workers take over its runs when its lease
ends. It is notified while there is still time to stop.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol

from orchestrator.background.duty import OnRestart, ignore, keep_going
from orchestrator.background.pauses import RareWarning
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.workers.claims import HeartbeatReply

logger = logging.getLogger(__name__)

_BUSY_SWEEP_SECONDS = 0.5
# An idle worker beats less often: twice the pause, as long as that is well within its lease.
_IDLE_FACTOR = 2
_IDLE_SHARE = 0.4
_LAPSE_SHARE = 0.8
"""The share of a lease that may pass without a heartbeat before execution stops."""


class Register(Protocol):
    """The register of workers; see `Claims`."""

    async def beat(self) -> HeartbeatReply:
        """Write a heartbeat and return the state of the queue."""

    async def sweep(self) -> int:
        """Free the runs of dead workers and return how many were freed."""


class Heartbeat:
    """Writes heartbeats in the background, from `begin` to `end`.

    Args:
        register: writes the heartbeats.
        lease_seconds: how long this worker may miss heartbeats before other workers take over its runs.
        pause_seconds: the time between two heartbeats; longer while the worker is idle.
        is_busy: whether the worker owns runs.
        on_reply: called after each heartbeat with the reply and with whether runs were freed.
        on_lapse: called when no heartbeat was written for most of a lease.
        on_restart: called when the duty failed and was restarted.
    """

    def __init__(
        self,
        register: Register,
        *,
        lease_seconds: float,
        pause_seconds: float,
        is_busy: Callable[[], bool],
        on_reply: Callable[[HeartbeatReply, bool], None],
        on_lapse: Callable[[], None],
        on_restart: OnRestart = ignore,
    ) -> None:
        self._register = register
        self._lease_seconds = lease_seconds
        self._pause_seconds = pause_seconds
        self._is_busy = is_busy
        self._on_reply = on_reply
        self._on_lapse = on_lapse
        self._on_restart = on_restart
        self._warn = RareWarning(logger, "heartbeat failed, database unavailable")
        self._pause = pause_seconds
        self._written_at = -math.inf
        self._tried = False
        self._lapse: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def lapsed(self) -> bool:
        """Whether the lease has ended, or may end before the next heartbeat is written."""
        return self._tried and self._is_over(asyncio.get_running_loop().time())

    def _is_over(self, now: float) -> bool:
        return now >= self._written_at + self._lease_seconds * _LAPSE_SHARE

    async def begin(self) -> None:
        """Write the first heartbeat, then continue in the background.

        Raises:
            Exception: the error of the first heartbeat, unless the database is unavailable.
        """
        await self._beat()
        self._task = asyncio.create_task(keep_going("heartbeat", self._go_on, self._on_restart), name="heartbeat")

    async def end(self) -> None:
        """Stop writing heartbeats."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._lapse is not None:
            self._lapse.cancel()

    def written(self, began: float) -> None:
        """Record a successful heartbeat that began at this event loop time. May be called from any thread."""
        self._written_at = max(self._written_at, began)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = 0.0  # after an error, retry immediately
            self._pause = self._pause_after(others_at_work=await self._beat())

    def _pause_after(self, *, others_at_work: bool) -> float:
        if others_at_work:  # their runs could become orphaned
            return min(self._pause_seconds, _BUSY_SWEEP_SECONDS)
        if self._is_busy():
            return self._pause_seconds
        return max(self._pause_seconds, min(self._pause_seconds * _IDLE_FACTOR, self._lease_seconds * _IDLE_SHARE))

    async def _beat(self) -> bool:
        """Write a heartbeat, free the runs of dead workers, and return whether other workers own runs."""
        began = asyncio.get_running_loop().time()
        try:
            reply = await self._register.beat()
            self.written(began)
            if self._lapse is None:
                self._await_lapse()
            freed = await self._register.sweep() if reply.others_at_work else 0
        except DatabaseUnavailable as error:
            self._warn(error)
            if not self._tried:
                self._on_lapse()  # runs accepted before the first heartbeat have no lease
            return True
        finally:
            self._tried = True  # from now on only a written heartbeat gives a lease
        self._on_reply(reply, freed > 0)
        return reply.others_at_work

    def _await_lapse(self) -> None:
        """Schedule a check for the time when the lease is about to end."""
        at = self._written_at + self._lease_seconds * _LAPSE_SHARE
        self._lapse = asyncio.get_running_loop().call_at(at, self._check_lapse)

    def _check_lapse(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_over(loop.time()):
            self._await_lapse()
            return
        self._on_lapse()
        self._lapse = loop.call_later(self._pause_seconds, self._check_lapse)
