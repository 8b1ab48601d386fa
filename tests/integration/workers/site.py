"""A program at work on a test's database: cores, workers and projectors, and a journal of what was executed."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import SkillError, StepContext, skill
from orchestrator.application.caller import Caller
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy, RetryPolicy, Step, Workflow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from tests.waiting import until

SQL = load_sql(__file__)
CALLER = Caller("default", "test")
UNCACHED = CachePolicy(enabled=False)
ONCE = RetryPolicy()


@dataclass(slots=True)
class Call:
    """One execution of the skill: monotonic seconds; `ended` is None while it executes or when it was cancelled."""

    run: str
    step: str
    attempt: int
    input: Mapping[str, Any]
    began: float
    ended: float | None = None
    cancelled: bool = False


@dataclass(slots=True)
class Journal:
    """What every worker of a test executed, in the order it began."""

    calls: list[Call] = field(default_factory=list)

    def registry(self, *names: str) -> SkillRegistry:
        """Skills that write in this journal; `test.work` unless names are given."""
        return SkillRegistry([self._skill(name) for name in names or ("test.work",)])

    def _skill(self, name: str) -> Any:
        @skill(name)
        async def work(input: dict[str, Any], ctx: StepContext) -> Any:
            """Sleep for `ms`, fail the first `fails` attempts (for good if `hopeless`), return `returns`."""
            call = Call(ctx.run_id, ctx.step_id, ctx.attempt, input, time.monotonic())
            self.calls.append(call)
            try:
                await asyncio.sleep(input.get("ms", 0) / 1000)
            except asyncio.CancelledError:
                call.cancelled = True
                raise
            call.ended = time.monotonic()
            if ctx.attempt <= input.get("fails", 0):
                again = None if input.get("after") is None else input["after"]
                hopeful = not input.get("hopeless", False)
                raise SkillError("BROKEN", f"{ctx.step_id} broke", retryable=hopeful, retry_after_ms=again)
            return input.get("returns", {"made": ctx.step_id})

        return work

    async def begun(self, count: int = 1) -> None:
        """Wait until so many executions have begun."""
        await until(lambda: len(self.calls), what=f"{count} executions began", right=lambda begun: begun >= count)

    def steps(self, run_id: str) -> list[str]:
        return [call.step for call in self.calls if call.run == run_id]

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each step of each run was executed."""
        return Counter((call.run, call.step) for call in self.calls)


def step(
    name: str,
    *needs: str,
    skill_id: str = "test.work",
    cache: CachePolicy = UNCACHED,
    retry: RetryPolicy = ONCE,
    timeout_ms: int | None = None,
    **selectors: str,
) -> Step:
    """A step; its selectors are JMESPath, a `ms` step sleeps so long."""
    return Step(name, skill_id, needs, selectors or None, cache, retry, timeout_ms)


def workflow(name: str, *steps: Step, **options: Any) -> Workflow:
    return Workflow(name, "1", {one.id: one for one in steps}, **options)


@dataclass(frozen=True, slots=True)
class Site:
    """A core, and words to drive it with."""

    core: Core

    async def register(self, *workflows: Workflow) -> None:
        for one in workflows:
            await self.core.workflows.register(one, tenant="default", actor="test")

    async def trigger(self, name: str, **payload: Any) -> str:
        return (await self.core.commands.trigger(CALLER, Wanted(name, payload=payload))).run_id

    async def run(self, name: str, **payload: Any) -> Run:
        """Trigger a run and see it finished."""
        return await self.finished(await self.trigger(name, **payload))

    async def folded(self, run_id: str) -> Run:
        return (await self.core.database.ask(self.core.runs.load, run_id)).run

    async def finished(self, run_id: str) -> Run:
        return await self.reached(run_id, "completed", "failed", "cancelled")

    async def reached(self, run_id: str, *statuses: str) -> Run:
        """Wait until the run has one of these statuses."""
        look, told = partial(self.folded, run_id), f"the run is {' or '.join(statuses)}"
        return await until(look, what=told, right=lambda run: run.status in statuses)

    async def all_finished(self, run_ids: Sequence[str]) -> list[Run]:
        return [await self.finished(run_id) for run_id in run_ids]

    def history(self, run_id: str) -> list[Recorded]:
        return self.core.log.read(run_id)

    def events(self, run_id: str) -> list[str]:
        """The names of a run's events, with the step where there is one."""
        words = []
        for recorded in self.history(run_id):
            name = getattr(recorded.event, "step", "")
            words.append(f"{type(recorded.event).__name__} {name}".strip())
        return words

    def queue(self) -> dict[str, str | None]:
        """The owner of each run that is not over."""
        with self.core.database.connection() as connection:
            return {row["run_id"]: row["owner"] for row in connection.execute(SQL.queue).fetchall()}

    async def projected(self) -> None:
        """Wait until the read models have caught up with the log."""
        await until(
            lambda: (self.core.reader.position(), self.core.log.last_position()),
            what="the read models have everything",
            right=lambda positions: positions[0] >= positions[1],
        )


@contextmanager
def open_site(database_url: str, folder: Path, *, migrates: bool = False, **settings: Any) -> Iterator[Site]:
    given = {"database_url": database_url, "data_dir": folder, "artifact_url": str(folder / "artifacts"), **settings}
    with open_core(Settings(**given), migrates=migrates) as core:
        yield Site(core)


def statuses(run: Run) -> dict[str, str]:
    return {step_id: state.status for step_id, state in run.states()}
