"""The worker: claims runs as long as there is room, drives hundreds of them on one loop, and stays alive in public."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

from uuid_utils import uuid7

from orchestrator.background.duty import OnRestart, ignore, keep_going
from orchestrator.background.pauses import RareWarning
from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.postgres.listener import CANCEL, EVENTS, QUEUE, position_in, wake
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.workers.claims import Claimed, HeartbeatReply, WorkerIdentity
from orchestrator.workers.driver import RunDriver, WorkerServices
from orchestrator.workers.heartbeat import Heartbeat
from orchestrator.workers.process_identity import own_identity

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.2
_PAUSE_AFTER_FAULT_SECONDS = 5.0
_CLAIMED_AT_ONCE = 25
"""How many runs are read from the log before the first of them goes on: what a crash left behind may be hundreds."""
_END_SECONDS = 6.0
"""How long what was cancelled may take to stop when the worker ends."""


def new_identity(lease_seconds: float) -> WorkerIdentity:
    """Return the identity of a worker in this process."""
    host = socket.gethostname()
    return WorkerIdentity(f"{host}:{os.getpid()}:{uuid7().hex[-12:]}", host, os.getpid(), lease_seconds, own_identity())


class Queue(Protocol):
    """The queue of runs and the register of workers, as one worker needs them; see `Claims`."""

    async def beat(self, skills: Sequence[str]) -> HeartbeatReply:
        """Say that this worker is alive, and learn how things stand."""

    async def sweep(self) -> int:
        """Free the runs of dead workers."""

    async def claim(self, room: int, skills: Sequence[str]) -> Claimed:
        """Claim runs."""

    def keep_lease(self) -> None:
        """Say that this worker is alive, from a thread."""

    async def owners(self, run_ids: Sequence[str]) -> Mapping[str, str | None]:
        """Say who owns these runs, and all that this worker owns; runs that are over are left out."""

    async def release(self, run_ids: Sequence[str]) -> None:
        """Give runs back."""

    async def sign_off(self) -> None:
        """Give everything back."""


class Wakeups(Protocol):
    """Notifications, as a worker needs them; see `Listener`."""

    @property
    def connected(self) -> bool:
        """Whether notifications come in."""

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call back for each notification of a channel."""


class Worker:
    """Owns runs: claims them, drives each with a `RunDriver`, and gives them back when it ends."""

    def __init__(
        self,
        identity: WorkerIdentity,
        around: WorkerServices,
        queue: Queue,
        wakeups: Wakeups,
        loop: asyncio.AbstractEventLoop,
        *,
        skills: Collection[str],
        max_runs: int = 500,
        heartbeat_seconds: float = 2.0,
        on_restart: OnRestart = ignore,
    ) -> None:
        self.identity = identity
        self._around = around
        self._queue = queue
        self._wakeups = wakeups
        self._skills: Sequence[str] = sorted(skills)
        self._max_runs = max_runs
        self._on_restart = on_restart
        self._heartbeat = Heartbeat(
            self,
            lease_seconds=identity.lease_seconds,
            pause_seconds=heartbeat_seconds,
            is_busy=lambda: bool(self._drivers),
            on_reply=self._take_stock,
            on_lapse=self._lapse,
            on_restart=on_restart,
        )
        self._warn = RareWarning(logger, "runs cannot be claimed or released, database unavailable")
        self._drivers: dict[str, tuple[RunDriver, asyncio.Task[None]]] = {}
        self._expected: set[str] = set()
        self._arriving: list[LoadedRun] = []
        self._heard = 0
        self._in_doubt = False
        self._queue_changed = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._claimed = asyncio.Event()
        self._stopping = asyncio.Event()
        # From the start: a run may be expected before `work` begins, and no news of it may be missed.
        wakeups.on(QUEUE, lambda _: wake(loop, self._queue_changed.set))
        wakeups.on(CANCEL, lambda run_id: wake(loop, self._cancelled, run_id))
        wakeups.on(EVENTS, lambda position: self._hear(loop, position))

    @property
    def driving(self) -> int:
        """How many runs this worker owns right now."""
        return len(self._drivers)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def _room(self) -> int:
        return self._max_runs - len(self._drivers) - len(self._expected)

    def reserve(self, run_id: str) -> str | None:
        """Keep room for a run that is about to be recorded with this worker as its owner, and return its id.

        None when there is no room, or when the lease is not sure: the run waits in the queue like any other.
        """
        if self._room <= 0 or self._stopping.is_set() or self._heartbeat.lapsed or self._around.executor.trouble():
            return None
        self._expected.add(run_id)
        return self.identity.id

    def accept(self, loaded: LoadedRun) -> None:
        """Drive a run that was expected and is now in the log.

        If it may use the cache, then not before all news have come in from before it was recorded: results that were
        withdrawn by then must not serve it.
        """
        if not loaded.run.workflow.uses_cache:
            self._expected.discard(loaded.run.id)
            self._adopt(loaded)
            return
        self._arriving.append(loaded)
        self._arrive(at_once=not self._wakeups.connected)

    def _hear(self, loop: asyncio.AbstractEventLoop, payload: str) -> None:
        """On the listener's thread: all news from before this position have come in."""
        self._heard = max(self._heard, position_in(payload))
        if self._arriving:
            wake(loop, self._arrive)

    def _arrive(self, at_once: bool = False) -> None:
        """Adopt the runs from before which no more news can come.

        The others stay on the list throughout: `_hear` must find them there, or it would not call again.
        """
        waiting, heard = self._arriving, self._heard
        self._arriving = [] if at_once else [loaded for loaded in waiting if loaded.position > heard]
        for loaded in waiting:
            if at_once or loaded.position <= heard:
                self._expected.discard(loaded.run.id)
                self._adopt(loaded)

    def release(self, run_id: str) -> None:
        """Give up the room kept for a run."""
        if self._room <= 0:
            self._queue_changed.set()
        self._expected.discard(run_id)

    async def has_claimed(self) -> None:
        """Return when `work` has taken what was there to take at its start."""
        await self._claimed.wait()

    async def work(self) -> None:
        """Claim and drive runs until `stop` is called, then return when all is handed over.

        Raises:
            Exception: what the first heartbeat or claim met, unless the database is unavailable. Later faults are
                logged, and claiming goes on.
        """
        await self._heartbeat.begin()
        try:
            await self._claim()
            self._claimed.set()
            await keep_going("claims", self._claim_all, self._on_restart)
        finally:
            if not self._stopping.is_set():
                await self._heartbeat.end()

    async def _claim_all(self) -> None:
        while not self._stopping.is_set():
            await self._queue_changed.wait()
            self._queue_changed.clear()
            if not self._stopping.is_set():
                await self._claim()

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more, wait up to `grace_seconds` for what is executing, and give every run back.

        A run is given back as soon as nothing of it is executing, and until then the worker is seen to live. One whose
        skill does not stop is not given back: others take it over when this process, or its lease, has ended.
        """
        self._stopping.set()
        self._queue_changed.set()
        tasks = []
        for driver, task in self._drivers.values():
            driver.hand_over()
            tasks.append(task)
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
            for task in tasks:
                _cancel(task)
            await asyncio.wait(tasks, timeout=_END_SECONDS)
        await self._heartbeat.end()
        async with self._claiming:  # what a claim under way brings is given back as well
            try:
                if self._drivers:
                    logger.warning("stopped, but steps are still executing", extra={"runs": sorted(self._drivers)})
                    await self._settle()
                else:
                    await self._queue.sign_off()
            except DatabaseUnavailable as error:
                logger.warning("could not sign off, the lease will run out instead: %s", error)

    async def _claim(self) -> None:
        """Claim as many runs as there is room for, and begin with the first while the others are read.

        None without a lease that lasts: the next heartbeat that is written looks again.
        """
        async with self._claiming:
            if self._heartbeat.lapsed:
                self._in_doubt = True
                return
            try:
                if self._in_doubt:
                    await self._settle()
                if self._around.executor.trouble():
                    return  # the next heartbeat looks again, as long as runs are waiting
                while (room := min(self._room, _CLAIMED_AT_ONCE)) > 0 and not self._stopping.is_set():
                    claimed = await self._queue.claim(room, self._skills)
                    for loaded in claimed.runs:
                        self._adopt(loaded, claimed.losses.get(loaded.run.id, 0))
                    if not claimed.maybe_more:
                        return
            except DatabaseUnavailable as error:
                self._warn(error)
                self._in_doubt = True  # they may have been claimed all the same
                await asyncio.sleep(_RETRY_SECONDS)
                self._queue_changed.set()

    async def _settle(self) -> None:
        """Make the queue and this worker agree: drop runs that are over or taken, give back what is not driven.

        They may disagree when an answer or a notification was lost. No claim is under way meanwhile.
        """
        self._in_doubt = False
        driven = dict(self._drivers)
        owners = await self._queue.owners(list(driven))
        for run_id, (driver, task) in driven.items():
            lost = owners.get(run_id, "nobody: it is over") not in (self.identity.id, None)
            if lost and self._drivers.get(run_id) == (driver, task):
                _cancel(task)
        stray = [
            run_id
            for run_id, owner in owners.items()
            if owner == self.identity.id and run_id not in self._drivers and run_id not in self._expected
        ]
        if stray:
            logger.info("%d runs are given back: they were claimed, but the answer was lost", len(stray))
            await self._queue.release(stray)

    def _adopt(self, loaded: LoadedRun, losses: int = 0) -> None:
        """Drive a claimed run, unless it is being driven or over already."""
        run = loaded.run
        if self._heartbeat.lapsed:  # since it was claimed: it is given back after the next heartbeat
            self._in_doubt = True
            return
        if run.id in self._drivers or run.is_finished or self._stopping.is_set():
            return
        driver = RunDriver(run, loaded.tenant, self._around, losses)
        task = asyncio.create_task(self._drive(driver))
        task.add_done_callback(lambda _: self._forget(driver))  # for one that is cancelled before it begins
        self._drivers[run.id] = driver, task

    def _forget(self, driver: RunDriver) -> None:
        """Make room: this driver is done. The run may be driven by another one by now."""
        found = self._drivers.get(driver.run.id)
        if found is None or found[0] is not driver:
            return
        if self._room <= 0:
            self._queue_changed.set()
        del self._drivers[driver.run.id]

    async def _drive(self, driver: RunDriver) -> None:
        """See a run through and let go of it, whatever happens."""
        run_id = driver.run.id
        seen_through = False
        try:
            await driver.drive()
            seen_through = driver.run.is_finished
        except VersionConflict:
            logger.info("run %s was cancelled or taken over", run_id)
        except Exception:
            logger.exception("run %s could not be driven; it is given back", run_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _PAUSE_AFTER_FAULT_SECONDS)
        finally:
            self._forget(driver)
        if not seen_through:
            await self._release(run_id)

    async def _release(self, run_id: str) -> None:
        """Give a run back that was not seen through; if that fails, a heartbeat will find it."""
        try:
            await self._queue.release([run_id])
        except DatabaseUnavailable as error:
            self._warn(error)

    def _cancelled(self, run_id: str) -> None:
        """A run was cancelled, or (no id) such news may have been missed."""
        if not run_id:
            self._in_doubt = True
            self._queue_changed.set()
        elif run_id in self._drivers:
            _cancel(self._drivers[run_id][1])

    async def beat(self) -> HeartbeatReply:
        """Say that this worker lives, and with which skills."""
        return await self._queue.beat(self._skills)

    async def sweep(self) -> int:
        """Free the runs of dead workers."""
        return await self._queue.sweep()

    def keep_lease(self) -> None:
        """Write a heartbeat from a thread, while the event loop is blocked."""
        began = monotonic()  # what loops count in
        self._queue.keep_lease()
        self._heartbeat.written(began)

    def _take_stock(self, reply: HeartbeatReply, freed: bool) -> None:
        """After a heartbeat: look for work that no news told of."""
        self._arrive(at_once=not self._wakeups.connected)
        if reply.owned != len(self._drivers):
            self._in_doubt = True
        if freed or reply.waiting or self._in_doubt:
            self._queue_changed.set()

    def _lapse(self) -> None:
        """The lease is about to end, and then others may execute what is executing here: stop."""
        self._in_doubt = True
        if self._drivers:
            logger.error("no heartbeat written, execution stops before the lease ends", extra={"runs": self.driving})
        for _, task in self._drivers.values():
            _cancel(task)


def _cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a driver, once: the second time it would leave behind what it waits for."""
    if not task.cancelling():
        task.cancel()
