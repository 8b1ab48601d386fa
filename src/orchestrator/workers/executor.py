"""Executing a call: find the skill, perform it, keep what it made."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import ArtifactSink, StepContext
from orchestrator.skills.fitness import Fitness
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry

ReportStep = Callable[[SkillCall, float, str], None]
"""Called with a call, the fraction done (0 to 1) and a few words."""

OnBegun = Callable[[], None]
"""Called when the turn of a call has come."""


def ignore() -> None:
    """Take no note of it."""


class OutputKeeper(ArtifactSink, Protocol):
    """The artifact store, as an executor needs it."""

    def must_spill(self, output: Output) -> bool:
        """Say whether an output's data is too large for the log."""
        ...

    def spill(self, tenant: str, output: Output) -> Output:
        """Move data that is too large for the log into an artifact."""
        ...


class StepExecutor(Protocol):
    """What a driver needs: which skills there are, and someone to perform a call."""

    def skill(self, skill_id: str) -> str | None:
        """Return `id@version` of a skill, or None when it is not known here."""

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call; see `perform` for what it raises.

        `begun` is called when its turn has come: from then on its time runs.

        Raises:
            WorkerUnfit: it could not be performed here; see `trouble`.
        """
        ...

    def trouble(self) -> str | None:
        """Return what this process lacks to perform any call, or None. Ask before work is taken on."""
        ...


class LocalExecutor:
    """Performs calls in this process: async skills on the loop, blocking ones in `threads`.

    `threads` has the shape of `concurrent.futures.Executor`; a pool elsewhere fits as well. At most
    `max_blocking` of its calls are under way at once; a call's time limit begins when its turn has come.
    """

    def __init__(
        self,
        registry: SkillRegistry,
        keeper: OutputKeeper,
        threads: Executor,
        *,
        max_blocking: int = 8,
        on_progress: ReportStep | None = None,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._threads = threads
        self._turns = asyncio.Semaphore(max_blocking)
        self._on_progress = on_progress
        self._fitness = Fitness()

    def trouble(self) -> str | None:
        """Return what this process lacks to perform any call, or None."""
        return self._fitness.trouble()

    def skill(self, skill_id: str) -> str | None:
        """Return `id@version` of a skill, or None when it is not known here."""
        return skill_name(self._registry, skill_id)

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call and move data that is too large for the log into the artifact store."""
        with self._fitness.judging():
            return await self._execute(call, begun)

    async def _execute(self, call: SkillCall, begun: OnBegun) -> Output:
        skill = self._registry.get(call.skill_id)
        context = StepContext.for_call(call, self._keeper, self._reporter(call))
        if skill.blocking:
            async with self._turns:
                begun()
                output = await perform(skill, call, context, self._threads)
        else:
            begun()
            output = await perform(skill, call, context, self._threads)
        return await spilled(self._keeper, call.tenant, output)

    def _reporter(self, call: SkillCall) -> Callable[[float, str], None] | None:
        report = self._on_progress
        return None if report is None else lambda fraction, message: report(call, fraction, message)


def skill_name(registry: SkillRegistry, skill_id: str) -> str | None:
    """Return `id@version` of a skill, or None when the registry does not know it."""
    return f"{skill_id}@{registry.get(skill_id).version}" if skill_id in registry else None


async def spilled(keeper: OutputKeeper, tenant: str, output: Output) -> Output:
    """Return an output fit for the log; writing to the store, when it takes that, does not hold up the loop."""
    return await asyncio.to_thread(keeper.spill, tenant, output) if keeper.must_spill(output) else output
