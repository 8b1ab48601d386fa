"""Skills that take their time, fail, hang and are repeated, as the step's input says; and what they make.

What a step makes depends on its input alone, so a run has one right result however it went.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.events import StepFailed, StepStarted
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.selectors import resolve_input
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.memory import MemoryLog
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import SkillError
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.skill import skill

COMMON, RARE = "sim.common", "sim.rare"

HOPELESS_NATURES = ("hopeless", "exhausted", "unresolvable")
"""A step of such a nature fails for good, and its run with it."""


@dataclass
class Stage:
    """Where skills perform."""

    log: MemoryLog
    chance: random.Random
    clock: Callable[[], int]
    longest_seconds: float = 0.4
    performances: list[tuple[str, str, int]] = field(default_factory=list)
    under_way: set[tuple[str, str, int]] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    async def perform(self, given: Mapping[str, Any], ctx: StepContext) -> dict[str, Any]:
        """Perform an attempt, which must be in the log by now."""
        attempt = ctx.run_id, ctx.step_id, ctx.attempt
        self.performances.append(attempt)
        if not any(
            isinstance(event := one.event, StepStarted) and (event.step, event.attempt) == attempt[1:]
            for one in self.log.read(ctx.run_id)
        ):
            self.faults.append(f"{attempt} is performed, but the log does not say that it started")
        self.under_way.add(attempt)
        try:
            return await self._act(given, ctx)
        finally:
            self.under_way.discard(attempt)

    async def _act(self, given: Mapping[str, Any], ctx: StepContext) -> dict[str, Any]:
        failures = self._failures(ctx) if given["failures"] else 0
        if given["nature"] == "slow" and failures < given["failures"]:
            await asyncio.sleep(1e6)
        seconds = given.get("seconds")
        if seconds is None:  # coarse, so that things happen at the same time
            seconds = self.longest_seconds * self.chance.choice((0, 0.1, 0.1, 0.2, 0.5, 1))
        await asyncio.sleep(seconds)
        match given["nature"]:
            case "hopeless":
                raise SkillError("HOPELESS", "it will never work", retryable=False)
            case "exhausted":
                raise SkillError("EXHAUSTED", "it does not work")
            case "flaky" if failures < given["failures"]:
                raise SkillError("FLAKY", "it did not work this time")
        return made(given)

    def _failures(self, ctx: StepContext) -> int:
        """How often the step failed according to the log: a failure that is not recorded happens again."""
        history = self.log.read(ctx.run_id)
        return sum(isinstance(one.event, StepFailed) and one.event.step == ctx.step_id for one in history)


STAGE: ContextVar[Stage] = ContextVar("stage")


@skill(COMMON, version="1")
async def common(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    return await STAGE.get().perform(given, ctx)


@skill(RARE, version="1")
async def rare(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    return await STAGE.get().perform(given, ctx)


_SKILLS = {COMMON: common, RARE: rare}


def registry(skills: Sequence[str]) -> SkillRegistry:
    return SkillRegistry(_SKILLS[name] for name in skills)


def made(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"made": fingerprint(given)[:12]}


def right_results(workflow: Workflow, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What each step makes in a run that nothing disturbs; steps that cannot be reached are left out."""
    results: dict[str, Any] = {}
    for name in workflow.graph.order:
        step = workflow.steps[name]
        if all(needed in results for needed in step.depends_on) and nature(workflow, name) not in HOPELESS_NATURES:
            steps = {needed: {"data": results[needed]} for needed in results}
            results[name] = made(resolve_input(step.input, {"trigger": payload, "steps": steps}))
    return results


def nature(workflow: Workflow, name: str) -> str:
    selectors = workflow.steps[name].input
    assert isinstance(selectors, Mapping)
    return selectors["nature"].strip("'`")
