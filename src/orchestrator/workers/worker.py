"""The worker: claims runs as long as there is room, drives hundreds of them on one loop, and stays alive in public."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from uuid_utils import uuid7

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.database import DATABASE_AWAY
from orchestrator.eventstore.listener import CANCEL, QUEUE, wake
from orchestrator.eventstore.runs import LoadedRun
from orchestrator.workers.claims import WorkerIdentity
from orchestrator.workers.driver import RunDriver, Surroundings

logger = logging.getLogger(__name__)

_BUSY_SWEEP_SECONDS = 0.5
_RETRY_SECONDS = 0.2
_PAUSE_AFTER_FAULT_SECONDS = 5.0


def new_identity(lease_seconds: float) -> WorkerIdentity:
    """Return the identity of a worker in this process."""
    host = socket.gethostname()
    return WorkerIdentity(f"{host}:{os.getpid()}:{uuid7().hex[-12:]}", host, os.getpid(), lease_seconds)


class Queue(Protocol):
    """The queue of runs and the register of workers, as one worker needs them; see `Claims`."""

    async def beat(self, session: tuple[int, str] | None) -> bool:
        """Say that this worker is alive; returns whether other workers own runs."""

    async def sweep(self) -> int:
        """Free the runs of dead workers."""

    async def claim(self, room: int, skills: Sequence[str]) -> list[LoadedRun]:
        """Claim runs."""

    async def still_mine(self, run_ids: Sequence[str]) -> set[str]:
        """Say which runs this worker still owns."""

    async def release(self, run_ids: Sequence[str]) -> None:
        """Give runs back."""

    async def sign_off(self) -> None:
        """Give everything back."""


class Wakeups(Protocol):
    """Notifications, as a worker needs them; see `Listener`."""

    @property
    def session(self) -> tuple[int, str] | None:
        """What proves that this process is alive."""

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call back for each notification of a channel."""


class Worker:
    """Owns runs: claims them, drives each with a `RunDriver`, and gives them back when it ends."""

    def __init__(
        self,
        identity: WorkerIdentity,
        around: Surroundings,
        queue: Queue,
        wakeups: Wakeups,
        *,
        skills: Collection[str],
        most_runs: int = 500,
        heartbeat_seconds: float = 2.0,
    ) -> None:
        self.identity = identity
        self._around = around
        self._queue = queue
        self._wakeups = wakeups
        self._skills: Sequence[str] = sorted(skills)
        self._most_runs = most_runs
        self._heartbeat_seconds = heartbeat_seconds
        self._drivers: dict[str, tuple[RunDriver, asyncio.Task[None]]] = {}
        self._to_release: set[str] = set()
        self._news_missed = False
        self._queue_changed = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def driving(self) -> int:
        """How many runs this worker owns right now."""
        return len(self._drivers)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def work(self) -> None:
        """Claim and drive runs until `stop` is called, then return when all is handed over."""
        loop = asyncio.get_running_loop()
        self._wakeups.on(QUEUE, lambda _: wake(loop, self._queue_changed.set))
        self._wakeups.on(CANCEL, lambda run_id: wake(loop, self._cancelled, run_id))
        await self._beat()
        heart = asyncio.create_task(self._stay_alive())
        self._queue_changed.set()
        try:
            while not self._stopping.is_set():
                await self._queue_changed.wait()
                self._queue_changed.clear()
                if not self._stopping.is_set():
                    await self._claim()
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more, wait up to `grace_seconds` for what is executing, and give every run back."""
        self._stopping.set()
        self._queue_changed.set()
        tasks = []
        for driver, task in self._drivers.values():
            driver.hand_over()
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._queue.sign_off()
        except DATABASE_AWAY as error:
            logger.warning("could not sign off, the lease will run out instead: %s", error)

    async def _claim(self) -> None:
        """Claim as many runs as there is room for."""
        while (room := self._most_runs - len(self._drivers)) > 0 and not self._stopping.is_set():
            try:
                claimed = await self._queue.claim(room, self._skills)
            except DATABASE_AWAY as error:
                logger.warning("cannot claim runs, the database is away: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._queue_changed.set()
                return
            for loaded in claimed:
                self._adopt(loaded)
            if len(claimed) < room:
                return

    def _adopt(self, loaded: LoadedRun) -> None:
        """Drive a claimed run, unless it is being driven or over already."""
        run = loaded.run
        if run.id in self._drivers or run.is_finished:
            return
        driver = RunDriver(run, loaded.tenant, self._around)
        self._drivers[run.id] = driver, asyncio.create_task(self._drive(driver))

    async def _drive(self, driver: RunDriver) -> None:
        """See a run through and let go of it, whatever happens."""
        run_id = driver.run.id
        try:
            await driver.drive()
        except VersionConflict:
            logger.info("run %s was cancelled or taken over", run_id)
        except Exception:
            logger.exception("run %s could not be driven; it is given back", run_id)
            await asyncio.sleep(_PAUSE_AFTER_FAULT_SECONDS)
        finally:
            was_full = len(self._drivers) >= self._most_runs
            del self._drivers[run_id]
            if was_full:
                self._queue_changed.set()
        if not driver.run.is_finished and not self._stopping.is_set():
            await self._release(run_id)

    async def _release(self, run_id: str) -> None:
        """Give a run back that was not seen through; if that fails, the lease or another sweep will."""
        try:
            await self._queue.release([run_id])
        except DATABASE_AWAY as error:
            logger.warning("run %s could not be given back: %s", run_id, error)
            self._to_release.add(run_id)

    def _cancelled(self, run_id: str) -> None:
        """A run was cancelled, or (no id) such news may have been missed."""
        if not run_id:
            self._news_missed = True
        elif run_id in self._drivers:
            self._drivers[run_id][1].cancel()

    async def _stay_alive(self) -> None:
        """Beat and sweep; more often while other workers own runs that could become orphans."""
        while True:
            others_at_work = await self._beat()
            pause = self._heartbeat_seconds
            await asyncio.sleep(min(pause, _BUSY_SWEEP_SECONDS) if others_at_work else pause)

    async def _catch_up(self) -> None:
        """Do what a lost connection kept from being done: give runs back, drop those that are over or taken."""
        if self._to_release:
            await self._queue.release(list(self._to_release))
            self._to_release.clear()
        if self._news_missed and self._drivers:
            driven = list(self._drivers)
            mine = await self._queue.still_mine(driven)
            for run_id in driven:
                if run_id not in mine and run_id in self._drivers:
                    self._drivers[run_id][1].cancel()
        self._news_missed = False

    async def _beat(self) -> bool:
        """Say that this worker lives, and free the runs of those that do not."""
        try:
            others_at_work = await self._queue.beat(self._wakeups.session)
            await self._catch_up()
            freed = await self._queue.sweep() if others_at_work else 0
            if freed:
                self._queue_changed.set()
        except DATABASE_AWAY as error:
            logger.warning("no heartbeat, the database is away: %s", error)
            return True
        return others_at_work
