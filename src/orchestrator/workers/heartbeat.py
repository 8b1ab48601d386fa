"""The heartbeat of a worker: it keeps the lease, frees the runs of dead workers, and tells when the lease may lapse.

    beat -> sweep if others own runs -> tell the worker how things stand -> pause

A worker whose heartbeats cannot be written must not go on: when its lease ends, others take its runs over. So it is
told while there is still time to stop.
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
# Idle, a worker beats less often: twice the pause, as long as that is well within its lease.
_IDLE_FACTOR = 2
_IDLE_SHARE = 0.4
_LAPSE_SHARE = 0.8
"""How much of a lease may pass without a heartbeat before execution stops."""


class Register(Protocol):
    """The register of workers; see `Claims`."""

    async def beat(self) -> HeartbeatReply:
        """Say that this worker is alive, and learn how things stand."""

    async def sweep(self) -> int:
        """Free the runs of dead workers and return how many there were."""


class Heartbeat:
    """Beats in the background, from `begin` to `end`.

    Args:
        register: where to.
        lease_seconds: how long others wait for a heartbeat.
        pause_seconds: between two heartbeats; longer while nothing is to be done.
        is_busy: whether the worker owns runs.
        on_reply: told how things stand after each heartbeat, and whether runs were freed.
        on_lapse: called when no heartbeat was written for most of a lease.
        on_restart: told when the duty failed and was started again.
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
        """Beat once, then in the background.

        Raises:
            Exception: what the first heartbeat met, unless the database is unavailable.
        """
        await self._beat()
        self._task = asyncio.create_task(keep_going("heartbeat", self._go_on, self._on_restart), name="heartbeat")

    async def end(self) -> None:
        """Beat no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._lapse is not None:
            self._lapse.cancel()

    def written(self, began: float) -> None:
        """Take note that a heartbeat was written that was begun at this time (of the event loop). From any thread."""
        self._written_at = max(self._written_at, began)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = 0.0  # if it fails, it is tried again at once
            self._pause = self._pause_after(others_at_work=await self._beat())

    def _pause_after(self, *, others_at_work: bool) -> float:
        if others_at_work:  # their runs could become orphans
            return min(self._pause_seconds, _BUSY_SWEEP_SECONDS)
        if self._is_busy():
            return self._pause_seconds
        return max(self._pause_seconds, min(self._pause_seconds * _IDLE_FACTOR, self._lease_seconds * _IDLE_SHARE))

    async def _beat(self) -> bool:
        """Say that this worker lives, free the runs of those that do not, and return whether others own runs."""
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
                self._on_lapse()  # what was accepted before the first heartbeat has no lease
            return True
        finally:
            self._tried = True  # from now on there is no lease but that of a heartbeat that was written
        self._on_reply(reply, freed > 0)
        return reply.others_at_work

    def _await_lapse(self) -> None:
        """Look again when the lease would be about to end, unless another heartbeat is written until then."""
        at = self._written_at + self._lease_seconds * _LAPSE_SHARE
        self._lapse = asyncio.get_running_loop().call_at(at, self._check_lapse)

    def _check_lapse(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_over(loop.time()):
            self._await_lapse()
            return
        self._on_lapse()
        self._lapse = loop.call_later(self._pause_seconds, self._check_lapse)
