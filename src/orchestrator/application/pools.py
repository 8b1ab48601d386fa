"""Pools: what pull workers ask for and report. A poll waits for work; nothing is asked of the table in between."""

import asyncio
import threading
from time import monotonic

from orchestrator.application.caller import Caller
from orchestrator.application.core import Core
from orchestrator.clusters.contract import Record, Work
from orchestrator.clusters.dispatches import Dispatches, Holder, Puller
from orchestrator.domain.errors import StaleAttempt
from orchestrator.domain.output import Output
from orchestrator.postgres.listener import DISPATCHES, wake

_SEEN_SECONDS = 5.0
"""How often a worker that waits is noted as present, at most; more often with a short lease."""


class Pools:
    """The attempts that pull workers take, beat for and report."""

    def __init__(self, core: Core) -> None:
        self._database = core.database
        self._store = core.store
        self._lease_seconds = core.settings.lease_seconds
        self._table = Dispatches(core.database, self._lease_seconds)
        self._lock = threading.Lock()
        self._polls: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False
        core.listener.on(DISPATCHES, lambda told: None if told.startswith("ended:") else self._wake())

    @property
    def waiting(self) -> int:
        """How many polls wait for work."""
        return len(self._polls)

    async def poll(self, worker: Puller, slots: int, wait_seconds: float) -> list[Work]:
        """Return up to `slots` attempts that fit a worker; wait up to `wait_seconds` until there are some."""
        until, changed = monotonic() + wait_seconds, asyncio.Event()
        with self._lock:
            self._polls[changed] = asyncio.get_running_loop()
        try:
            while True:
                changed.clear()
                found = await self._database.call(self._take, worker, slots)
                left = until - monotonic()
                if found or left <= 0 or self._closed:
                    return found
                try:
                    async with asyncio.timeout(min(_SEEN_SECONDS, self._lease_seconds / 3, left)):
                        await changed.wait()
                except TimeoutError:
                    pass
        finally:
            with self._lock:
                del self._polls[changed]

    async def beat(self, caller: Caller, name: str, fence: str, *, abandons: bool) -> bool:
        """Note that an attempt is executing, or that it is abandoned, and return whether it should stop.

        Raises:
            StaleAttempt: the attempt is unknown, has ended, or the fence is another one's.
        """
        holder = Holder(caller.tenant, caller.pool, name, fence)
        if abandons:
            told = True if await self._database.call(self._table.abandon, holder) else None
        else:
            told = await self._database.call(self._table.beat, holder)
        if told is None:
            raise _stale(name)
        return told

    async def record(self, caller: Caller, name: str, fence: str, record: Record) -> None:
        """Record what became of an attempt. Data that is too large for the log moves to the artifact store.

        Raises:
            StaleAttempt: the attempt is unknown, has ended in another way, or the fence is another one's.
        """
        outcome = record.outcome
        if isinstance(outcome, Output) and self._store.must_spill(outcome):
            stored = await asyncio.to_thread(self._store.spill, caller.tenant, outcome)
            record = Record(stored, record.duration_ms)
        holder = Holder(caller.tenant, caller.pool, name, fence)
        if not await self._database.call(self._table.record, holder, record):
            raise _stale(name)

    def close(self) -> None:
        """Answer the polls that wait: the server stops."""
        self._closed = True
        self._wake()

    def _take(self, worker: Puller, slots: int) -> list[Work]:
        self._table.see(worker)
        return self._table.take(worker, slots) if slots else []

    def _wake(self) -> None:
        with self._lock:
            polls = list(self._polls.items())
        for changed, loop in polls:
            wake(loop, changed.set)


def _stale(name: str) -> StaleAttempt:
    return StaleAttempt(f"attempt {name} is not executing with this fence: it has ended or was given up; drop it")
