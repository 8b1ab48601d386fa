"""Attempts on other machines, as the worker that owns their runs sees them: submit them, and await their records.

    StepStarted, StepDispatched in the log -> row -> a pull worker takes it, beats, writes the record -> notification

What is awaited is in the table and in the log, so another worker can wait for it just as well.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from orchestrator.background.duty import OnRestart, ignore, keep_going
from orchestrator.clusters.contract import Record, Work
from orchestrator.clusters.dispatches import Dispatched, Dispatches, Key, blocked_prefix
from orchestrator.domain.workflow import Step
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import DISPATCHES, wake

_NOT_CONFIGURED = "not configured"


class AttemptLost(Exception):
    """An attempt was lost with the machine that executed it. The message says how that was noticed."""


class Notices(Protocol):
    """The notifications that a dispatcher needs; see `Listener`."""

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback` with the payload of each notification on a channel."""


class Dispatcher:
    """Submits attempts to configured executors and awaits their records. Belongs to one event loop.

    `executors` maps the names of executors to their kinds. Nothing is read while no attempt is awaited.
    """

    def __init__(
        self,
        database: Database,
        executors: Mapping[str, str],
        notices: Notices,
        *,
        lease_seconds: float,
        on_restart: OnRestart = ignore,
    ) -> None:
        self._database = database
        self._executors = executors
        self._lease_seconds = lease_seconds
        self._on_restart = on_restart
        self._dispatches = Dispatches(database, lease_seconds)
        self._awaited: dict[Key, tuple[str, asyncio.Future[Record]]] = {}
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        notices.on(DISPATCHES, lambda told: None if told.startswith("work:") else wake(loop, self._changed.set))

    @property
    def abilities(self) -> list[str]:
        """What a blocked run may lack elsewhere and has here: configured executors."""
        return [blocked_prefix(name) + _NOT_CONFIGURED for name in self._executors]

    async def skill(self, tenant: str, step: Step) -> tuple[str | None, str]:
        """Return `id@version` of a step's skill where it would be executed; if there is none, None and what lacks."""
        place = blocked_prefix(step.executor)
        if step.executor not in self._executors:
            return None, place + _NOT_CONFIGURED
        ask, table = self._database.ask, self._dispatches
        found = await ask(table.fitting, tenant, step.executor, step.skill, step.requires)
        if found is not None:
            return found, ""
        lacking = sorted(set(step.requires) - await ask(table.labels, tenant, step.executor))
        if lacking:
            return None, f"{place}no worker has the label {', '.join(lacking)}"
        with_labels = f" with {', '.join(step.requires)}" if step.requires else ""
        return None, f"{place}no worker{with_labels} has the skill {step.skill}"

    async def submit(self, executor: str, work: Work) -> None:
        """Submit an attempt. Its dispatch is already in the log."""
        await self._database.ask(self._dispatches.put, executor, work)

    async def record(self, tenant: str, name: str, fence: str) -> Record:
        """Wait for the record of an attempt whose fence has this hash.

        Raises:
            AttemptLost: there will be no record.
        """
        key = tenant, name
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._awaited[key] = fence, future
        self._changed.set()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(keep_going("dispatches", self._watch, self._on_restart))
        try:
            return await future
        finally:
            if self._awaited.get(key) == (fence, future):
                del self._awaited[key]

    async def drop(self, tenant: str, names: Sequence[str]) -> None:
        """Forget attempts whose outcomes are in the log."""
        await self._database.ask(self._dispatches.drop, tenant, names)

    async def close(self) -> None:
        """Stop waiting. The attempts go on, for the next owner of their runs."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        await self._database.ask(self._dispatches.drop_stray)
        while self._awaited:
            self._changed.clear()
            awaited = dict(self._awaited)
            states = await self._database.ask(self._dispatches.states, awaited.keys())
            for key, (fence, future) in awaited.items():
                await self._settle(key, fence, future, states.get(key))
            try:
                async with asyncio.timeout(self._lease_seconds / 3):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _settle(self, key: Key, fence: str, future: asyncio.Future[Record], found: Dispatched | None) -> None:
        """Resolve the future of an attempt that has ended or is lost."""
        if future.done():
            return
        if found is None or found.fence != fence:
            future.set_exception(AttemptLost("it was never submitted, or was given up"))
        elif found.record is not None:
            future.set_result(found.record)
        elif found.silent or found.unwanted:
            why = "no beat" if found.silent else "no worker that fits was there"
            if await self._database.ask(self._dispatches.lose, key) and not future.done():
                future.set_exception(AttemptLost(f"{why} for {self._lease_seconds:g} s"))
