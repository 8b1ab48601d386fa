"""The worker: claims runs up to its limit, drives hundreds of them on one event loop, and sends heartbeats."""

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
from orchestrator.workers.driver import RunDriver
from orchestrator.workers.heartbeat import Heartbeat
from orchestrator.workers.process_identity import own_identity
from orchestrator.workers.services import WorkerServices

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.2
_PAUSE_AFTER_FAULT_SECONDS = 5.0
_CLAIM_BATCH = 25
"""The most runs per claim. After a crash hundreds may be waiting; small batches let the first ones start early."""
_CANCEL_SECONDS = 6.0
"""How long cancelled tasks may take to stop when the worker shuts down."""


def new_identity(lease_seconds: float) -> WorkerIdentity:
    """Return the identity of a worker in this process."""
    host = socket.gethostname()
    return WorkerIdentity(f"{host}:{os.getpid()}:{uuid7().hex[-12:]}", host, os.getpid(), lease_seconds, own_identity())


class Queue(Protocol):
    """The queue of runs and the register of workers, as seen by one worker; see `Claims`."""

    async def beat(self, skills: Sequence[str]) -> HeartbeatReply:
        """Write a heartbeat and return the state of the queue."""

    async def sweep(self) -> int:
        """Free the runs of dead workers and return how many were freed."""

    async def claim(self, room: int, skills: Sequence[str]) -> Claimed:
        """Claim up to `room` runs."""

    def keep_lease(self) -> None:
        """Write a heartbeat from a thread other than the event loop's."""

    async def owners(self, run_ids: Sequence[str]) -> Mapping[str, str | None]:
        """Return the owner of each given run and of every run this worker owns; finished runs are omitted."""

    async def release(self, run_ids: Sequence[str]) -> None:
        """Return runs to the queue."""

    async def sign_off(self) -> None:
        """Return all runs to the queue and remove this worker from the register."""


class Wakeups(Protocol):
    """The notifications a worker needs; see `Listener`."""

    @property
    def connected(self) -> bool:
        """Whether notifications are being received."""

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback` with the payload of each notification on a channel."""


class Worker:
    """Claims runs, drives each with a `RunDriver`, and returns the unfinished ones to the queue when it stops."""

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
            on_reply=self._after_heartbeat,
            on_lapse=self._lapse,
            on_restart=on_restart,
        )
        self._warn = RareWarning(logger, "runs cannot be claimed or released, database unavailable")
        self._drivers: dict[str, tuple[RunDriver, asyncio.Task[None]]] = {}
        self._reserved: set[str] = set()
        self._accepted: list[LoadedRun] = []
        self._received_position = 0
        self._must_reconcile = False
        self._queue_changed = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._claimed = asyncio.Event()
        self._stopping = asyncio.Event()
        # Subscribe here: a run may be reserved before `work` begins, and no notification about it may be missed.
        wakeups.on(QUEUE, lambda _: wake(loop, self._queue_changed.set))
        wakeups.on(CANCEL, lambda run_id: wake(loop, self._on_cancelled, run_id))
        wakeups.on(EVENTS, lambda position: self._on_events(loop, position))

    @property
    def driving(self) -> int:
        """How many runs this worker is driving right now."""
        return len(self._drivers)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def _room(self) -> int:
        return self._max_runs - len(self._drivers) - len(self._reserved)

    def reserve(self, run_id: str) -> str | None:
        """Reserve a slot for a run that is about to be recorded with this worker as owner, and return the worker's id.

        Return None when no slot is free, or when the worker is stopping, may have lost its lease, or cannot execute
        steps. The run then waits in the queue like any other.
        """
        if self._room <= 0 or self._stopping.is_set() or self._heartbeat.lapsed or self._around.executor.trouble():
            return None
        self._reserved.add(run_id)
        return self.identity.id

    def accept(self, loaded: LoadedRun) -> None:
        """Drive a run that was reserved and is now in the log.

        A run that may use the cache starts only when all notifications from before it was recorded have arrived:
        it must not use results that had been invalidated by then.
        """
        if not loaded.run.workflow.uses_cache:
            self._reserved.discard(loaded.run.id)
            self._adopt(loaded)
            return
        self._accepted.append(loaded)
        self._adopt_accepted(at_once=not self._wakeups.connected)

    def _on_events(self, loop: asyncio.AbstractEventLoop, payload: str) -> None:
        """Record, on the listener's thread, that all notifications up to this position have arrived."""
        self._received_position = max(self._received_position, position_in(payload))
        if self._accepted:
            wake(loop, self._adopt_accepted)

    def _adopt_accepted(self, at_once: bool = False) -> None:
        """Adopt the accepted runs whose earlier notifications have all arrived; with `at_once`, adopt all of them.

        The others stay on the list throughout: `_on_events` must find them there, or it would not call this again.
        """
        waiting, heard = self._accepted, self._received_position
        self._accepted = [] if at_once else [loaded for loaded in waiting if loaded.position > heard]
        for loaded in waiting:
            if at_once or loaded.position <= heard:
                self._reserved.discard(loaded.run.id)
                self._adopt(loaded)

    def release(self, run_id: str) -> None:
        """Release the slot reserved for a run."""
        if self._room <= 0:
            self._queue_changed.set()
        self._reserved.discard(run_id)

    async def has_claimed(self) -> None:
        """Wait until `work` has completed its first claim."""
        await self._claimed.wait()

    async def work(self) -> None:
        """Claim and drive runs until `stop` is called.

        Raises:
            Exception: the error of the first heartbeat or claim, unless the database is unavailable. Later errors are
                logged, and claiming continues.
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
        """Start nothing new, wait up to `grace_seconds` for executing steps, and return every run to the queue.

        A run is released as soon as none of its steps is executing; until then the worker keeps sending heartbeats. A
        run whose skill does not stop is not released: other workers take it over when this process or its lease ends.
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
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        await self._heartbeat.end()
        async with self._claiming:  # so that runs from a claim in progress are released too
            try:
                if self._drivers:
                    logger.warning("stopped, but steps are still executing", extra={"runs": sorted(self._drivers)})
                    await self._reconcile()
                else:
                    await self._queue.sign_off()
            except DatabaseUnavailable as error:
                logger.warning("worker could not sign off, its lease will expire instead: %s", error)

    async def _claim(self) -> None:
        """Claim as many runs as there are free slots, in batches, and start each batch before claiming the next.

        Claim nothing while the lease may have lapsed; the next successful heartbeat tries again.
        """
        async with self._claiming:
            if self._heartbeat.lapsed:
                self._must_reconcile = True
                return
            try:
                if self._must_reconcile:
                    await self._reconcile()
                if self._around.executor.trouble():
                    return  # the next heartbeat tries again while runs are waiting
                while (room := min(self._room, _CLAIM_BATCH)) > 0 and not self._stopping.is_set():
                    claimed = await self._queue.claim(room, self._skills)
                    for loaded in claimed.runs:
                        self._adopt(loaded, claimed.losses.get(loaded.run.id, 0))
                    if not claimed.maybe_more:
                        return
            except DatabaseUnavailable as error:
                self._warn(error)
                self._must_reconcile = True  # the claim may have been committed
                await asyncio.sleep(_RETRY_SECONDS)
                self._queue_changed.set()

    async def _reconcile(self) -> None:
        """Reconcile this worker with the queue: drop runs that are no longer its own, release runs it does not drive.

        The two can disagree when a reply or a notification was lost. The caller ensures that no claim is in progress.
        """
        self._must_reconcile = False
        driven = dict(self._drivers)
        owners = await self._queue.owners(list(driven))
        for run_id, (driver, task) in driven.items():
            lost = owners.get(run_id, "none, finished") not in (self.identity.id, None)
            if lost and self._drivers.get(run_id) == (driver, task):
                _cancel(task)
        stray = [
            run_id
            for run_id, owner in owners.items()
            if owner == self.identity.id and run_id not in self._drivers and run_id not in self._reserved
        ]
        if stray:
            logger.info("%d runs released: they were claimed, but the reply was lost", len(stray))
            await self._queue.release(stray)

    def _adopt(self, loaded: LoadedRun, losses: int = 0) -> None:
        """Drive a claimed run, unless it is already being driven or finished."""
        run = loaded.run
        if self._heartbeat.lapsed:  # after the claim: the run is released after the next heartbeat
            self._must_reconcile = True
            return
        if run.id in self._drivers or run.is_finished or self._stopping.is_set():
            return
        driver = RunDriver(run, loaded.tenant, self._around, losses)
        task = asyncio.create_task(self._drive(driver))
        task.add_done_callback(lambda _: self._forget(driver))  # for a task cancelled before it starts
        self._drivers[run.id] = driver, task

    def _forget(self, driver: RunDriver) -> None:
        """Remove a driver that is done, unless another driver has taken its place."""
        found = self._drivers.get(driver.run.id)
        if found is None or found[0] is not driver:
            return
        if self._room <= 0:
            self._queue_changed.set()
        del self._drivers[driver.run.id]

    async def _drive(self, driver: RunDriver) -> None:
        """Drive a run to its end, and release it if it did not finish."""
        run_id = driver.run.id
        finished = False
        try:
            await driver.drive()
            finished = driver.run.is_finished
        except VersionConflict:
            logger.info("run %s was cancelled or taken over", run_id)
        except Exception:
            logger.exception("run %s could not be driven and is released", run_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _PAUSE_AFTER_FAULT_SECONDS)
        finally:
            self._forget(driver)
        if not finished:
            await self._release(run_id)

    async def _release(self, run_id: str) -> None:
        """Return an unfinished run to the queue; if that fails, a later heartbeat finds it."""
        try:
            await self._queue.release([run_id])
        except DatabaseUnavailable as error:
            self._warn(error)

    def _on_cancelled(self, run_id: str) -> None:
        """Stop driving a run that was cancelled; an empty id means that notifications may have been missed."""
        if not run_id:
            self._must_reconcile = True
            self._queue_changed.set()
        elif run_id in self._drivers:
            _cancel(self._drivers[run_id][1])

    async def beat(self) -> HeartbeatReply:
        """Write a heartbeat with this worker's skills."""
        return await self._queue.beat(self._skills)

    async def sweep(self) -> int:
        """Free the runs of dead workers and return how many were freed."""
        return await self._queue.sweep()

    def keep_lease(self) -> None:
        """Write a heartbeat from a thread, while the event loop is blocked."""
        began = monotonic()  # the event loop's clock
        self._queue.keep_lease()
        self._heartbeat.written(began)

    def _after_heartbeat(self, reply: HeartbeatReply, freed: bool) -> None:
        """After a heartbeat, look for work whose notification was missed."""
        self._adopt_accepted(at_once=not self._wakeups.connected)
        if reply.owned != len(self._drivers):
            self._must_reconcile = True
        if freed or reply.waiting or self._must_reconcile:
            self._queue_changed.set()

    def _lapse(self) -> None:
        """Cancel every driver: once the lease ends, other workers may execute the same steps."""
        self._must_reconcile = True
        if self._drivers:
            logger.error("no heartbeat written, execution stops before the lease ends", extra={"runs": self.driving})
        for _, task in self._drivers.values():
            _cancel(task)


def _cancel(task: "asyncio.Task[None]") -> None:
    """Cancel a driver at most once: a second cancellation would abandon the attempts it waits for."""
    if not task.cancelling():
        task.cancel()
