"""Who is at work on a core: a worker and a projector; and a skill that writes down what it did."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator import SkillError, StepContext, skill
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.skills import SkillRegistry
from orchestrator.skills.skill import Skill
from tests.waiting import until


@asynccontextmanager
async def at_work(core: Core, skills: Iterable[Skill] | SkillRegistry) -> AsyncIterator[None]:
    """A worker that knows the skills, and a projector. Where one of them will do, open it alone."""
    registry = skills if isinstance(skills, SkillRegistry) else SkillRegistry(skills)
    with open_projector(core):
        async with open_worker(core, registry):
            yield


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
