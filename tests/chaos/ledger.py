"""What was asked for, and whether the log kept every promise in the end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from benchmarks.graphs import campaign_graph
from orchestrator.application.caller import Caller
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.domain.audit import faults
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.errors import RunNotCancellable
from orchestrator.domain.events import (
    TERMINAL_EVENTS,
    RunCancelled,
    RunCompleted,
    RunRecovered,
    RunStarted,
    RunTriggered,
    StepCompleted,
    StepStarted,
)
from orchestrator.domain.run import DONE
from orchestrator.domain.selectors import resolve_input
from orchestrator.domain.workflow import Workflow, workflow_from_json
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.listener import EVENTS, wake
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.chaos.executions import overlaps, read_executions
from tests.chaos.skills import made
from tests.waiting import until
from tests.world.core import open_world

CALLER = Caller("default", "chaos")
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05  # at the latest, should a notification be lost
T = TypeVar("T")

STEADY, MOODY = "chaos.campaign", "chaos.moody"


def campaign(skill: str, name: str) -> Workflow:
    """The campaign's graph; a moody step is tried again, as often as it may take."""
    document = campaign_graph(skill, name=name)
    for step in document["steps"]:
        step["retryPolicy"] = {"maxAttempts": 50, "backoffMs": 100, "multiplier": 1}
    return workflow_from_json(document)


def right_results(workflow: Workflow, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What each step makes in a run that nothing disturbs."""
    results: dict[str, Any] = {}
    for step in workflow.graph.order:
        context = {"trigger": payload, "steps": {name: {"data": data} for name, data in results.items()}}
        results[step] = made(resolve_input(workflow.steps[step].input, context))
    return results


@dataclass
class Ledger:
    """Asks for runs, through a database that may be away, and remembers what was promised."""

    core: Core
    asked: dict[str, bool | None] = field(default_factory=dict)
    """Run id -> True when its cancellation was accepted, False when it was refused, None when nobody asked."""
    history: dict[str, list[Recorded]] = field(default_factory=dict)
    position: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: Lock = field(default_factory=Lock)

    async def register(self) -> None:
        """Register the workflows, and begin to follow the log."""
        loop = asyncio.get_running_loop()
        self.core.listener.on(EVENTS, lambda _: wake(loop, self._tell))
        for workflow in (campaign("chaos.steady", STEADY), campaign("chaos.moody", MOODY)):
            await self.core.workflows.register(workflow, tenant=CALLER.tenant, actor=CALLER.actor)

    async def trigger(self, workflow: str = STEADY, seed: int = 0) -> str:
        key = f"run {len(self.asked)} of {time.time_ns()}"
        accepted = await _patiently(
            lambda: self.core.commands.trigger(CALLER, Wanted(workflow, payload={"seed": seed}), idempotency_key=key)
        )
        self.asked[accepted.run_id] = None
        return accepted.run_id

    async def cancel(self, run_id: str) -> bool:
        """Cancel a run; returns whether that was accepted."""
        try:
            await _patiently(lambda: self.core.commands.cancel(CALLER, run_id, "chaos"))
            self.asked[run_id] = True
        except RunNotCancellable:
            # an attempt whose answer was lost may have been the one that cancelled it
            loaded = await _patiently(lambda: self.core.database.call(self.core.runs.load, run_id))
            self.asked[run_id] = loaded.run.status == "cancelled"
        return bool(self.asked[run_id])

    async def update(self, run_id: str, seed: int) -> str:
        """Change a completed run's payload."""
        key = f"update {len(self.asked)} of {time.time_ns()}"
        change = ChangeRequest("payload.patch", {"seed": seed})
        accepted = await _patiently(lambda: self.core.changes.update(CALLER, run_id, change, idempotency_key=key))
        self.asked[accepted.run_id] = None
        return accepted.run_id

    @asynccontextmanager
    async def feeding(self, chance: random.Random) -> AsyncIterator[None]:
        """Ask for runs meanwhile, some of the same content, but never for more than a few at a time."""
        enough = asyncio.Event()

        async def feed() -> None:
            while not enough.is_set():
                if len(await asyncio.to_thread(self.under_way)) < 6:  # which may take a while during an outage
                    await self.trigger(chance.choice((STEADY, MOODY)), seed=chance.randrange(1000))
                await asyncio.sleep(chance.uniform(0.0, 0.1))

        feeder = asyncio.create_task(feed())
        try:
            yield
        finally:
            enough.set()
            await feeder

    def read(self, run_id: str) -> list[Recorded]:
        """What the log holds of a run, as far as it was followed."""
        self.follow()
        return self.history.get(run_id, [])

    def follow(self) -> None:
        """Read on in the log, which must have no gaps; nothing new during an outage."""
        with suppress(DatabaseUnavailable), self._turn:
            while batch := self.core.log.read_log(self.position, 5000):
                for one in batch:
                    assert one.position == self.position + 1, f"position {one.position} follows {self.position}"
                    self.position = one.position
                    self.history.setdefault(one.stream_id, []).append(one)

    async def reaches(self, run_id: str, version: int) -> Recorded:
        """Wait until a run has so many events, or is over; returns the latest."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(history := self.read(run_id)) < version and not _is_over(history):
                await self._wait_for_news()
        return history[-1]

    def under_way(self) -> list[str]:
        """The runs that are not over."""
        self.follow()
        return [run_id for run_id in self.asked if not _is_over(self.history.get(run_id, []))]

    def completed(self) -> list[str]:
        self.follow()
        histories = ((run_id, self.history.get(run_id)) for run_id in self.asked)
        return [run_id for run_id, history in histories if history and isinstance(history[-1].event, RunCompleted)]

    async def all_over(self, *run_ids: str) -> None:
        """Wait until these runs are over, or all."""

        def left() -> dict[str, list[str]]:
            """Those that are not over, with their latest events."""
            ids = set(self.under_way()) & set(run_ids or self.asked)
            return {run_id: [type(one.event).__name__ for one in self.history.get(run_id, [])[-3:]] for run_id in ids}

        await until(left, what="the runs are over", right=lambda left: not left)

    def outputs(self, run_id: str) -> dict[str, Any]:
        """What each step of a run made."""
        run = self.core.runs.fold(run_id, self.read(run_id)).run
        return {step: state.output and state.output.data for step, state in run.states()}

    def takeovers(self, run_id: str) -> int:
        """How often a run was taken over."""
        return sum(isinstance(one.event, RunRecovered) for one in self.read(run_id))

    def taken_from(self, workers: Collection[str]) -> int:
        """How often a run was taken over from one of these workers."""
        self.follow()
        events = (one.event for history in self.history.values() for one in history)
        return sum(isinstance(event, RunRecovered) and event.lost_worker in workers for event in events)

    async def _wait_for_news(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), _LOOK_SECONDS)

    def _tell(self) -> None:
        """Wake everybody who waits now."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def faults(self, *, zombies: bool = False, alone: bool = False) -> list[str]:
        """Everything that is wrong with the log and with what was executed, once all runs are over.

        Where there are zombies, one may have slept between the log's word and the skill: an attempt that was
        taken for lost may begin after another one has completed the step, and nothing of it is recorded.
        Where no worker is killed or frozen, each step was executed `alone`: never by two workers at the same time.
        """
        self.follow()
        found = [*self._misdeeds(zombies=zombies)]
        if alone:
            found += overlaps(read_executions(self.core.settings.data_dir / "journal"))
        for run_id, cancelled in self.asked.items():
            found += [f"run {run_id}: {fault}" for fault in self._faults_of(run_id, cancelled)]
        return found

    def _faults_of(self, run_id: str, cancelled: bool | None) -> Iterator[str]:
        history = self.history.get(run_id, [])
        trigger = history[0].event if history else None
        if not isinstance(trigger, RunTriggered):
            yield f"it was accepted but begins with {trigger}"
            return
        workflow = self.core.workflows.get(CALLER.tenant, trigger.workflow_name, trigger.workflow_version)
        yield from faults(run_id, workflow, [(one.version, one.event) for one in history])  # type: ignore[misc]
        yield from foreign(history)
        run = self.core.runs.fold(run_id, history).run
        expected = "cancelled" if cancelled else "completed"
        if run.status != expected:
            yield f"it is {run.status}, not {expected}"
        right = right_results(workflow, trigger.payload)
        for step, state in run.states():
            if state.output is not None and state.output.data != right[step]:
                yield f"step {step} made {state.output.data}, not {right[step]}"
            if expected == "completed" and state.status not in DONE:
                yield f"step {step} is {state.status}"

    def _misdeeds(self, *, zombies: bool) -> Iterator[str]:
        """Yield executions that should not have been: of an attempt the log does not know, of a step that was done."""
        started, completed = set(), {}
        for run_id, history in self.history.items():
            for one in history:
                if isinstance(one.event, StepStarted):
                    started.add((run_id, one.event.step, one.event.attempt))
                elif isinstance(one.event, StepCompleted):
                    completed[run_id, one.event.step] = one.event.attempt, one.event.at
        for execution in read_executions(self.core.settings.data_dir / "journal"):
            run_id, step, attempt = execution.run_id, execution.step, execution.attempt
            if (run_id, step, attempt) not in started:
                yield f"run {run_id} executed attempt {attempt} of {step}, but the log does not know of it"
            last, done_at = completed.get((run_id, step), (attempt, execution.began))
            if execution.began > done_at and not (zombies and attempt < last):
                yield f"run {run_id} executed attempt {attempt} of {step} after attempt {last} had completed it"


def _is_over(history: list[Recorded]) -> bool:
    return bool(history) and isinstance(history[-1].event, TERMINAL_EVENTS)


def foreign(history: list[Recorded]) -> Iterator[str]:
    """Yield what was written by a worker that did not own the run: a zombie that got through the fence."""
    owner = None
    for one in history[1:]:
        if isinstance(one.event, RunStarted | RunRecovered):
            owner = one.event.worker
        if one.actor != owner and not isinstance(one.event, RunCancelled):
            yield f"version {one.version} was written by {one.actor}, not by {owner}"


async def _patiently(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask again as long as the database is unavailable; what is asked for carries a key or may be repeated."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except DatabaseUnavailable:
            assert time.monotonic() < deadline, "the database stays away"
            await asyncio.sleep(0.05)


@contextmanager
def open_ledger(database_url: str, folder: Path, **settings: Any) -> Iterator[Ledger]:
    with open_world(database_url, folder, **settings) as world:
        yield Ledger(world.core)
