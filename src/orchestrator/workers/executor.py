"""Execute a call: find the skill, perform it, and store its output."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.skills.context import StepContext
from orchestrator.skills.fitness import AttemptStore, Fitness
from orchestrator.skills.logs import StepLog
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import Secrets

ReportStep = Callable[[SkillCall, float, str], None]
"""Called with a call, the fraction done (0 to 1) and a short message."""

OpenLog = Callable[[SkillCall], StepLog | None]
"""Returns a log for an attempt, or None if none is kept. The executor closes it."""

OnBegun = Callable[[], None]
"""Called when a call starts to execute."""


def ignore() -> None:
    """Do nothing."""


def unlogged(_call: SkillCall) -> None:
    """Return no log: what the skill prints is not kept."""


class OutputKeeper(AttemptStore, Protocol):
    """The artifact store operations an executor needs."""

    def must_spill(self, output: Output) -> bool:
        """Return whether an output's data is too large for the log."""
        ...

    def spill(self, tenant: str, output: Output) -> Output:
        """Move data that is too large for the log into an artifact, and return the changed output."""
        ...


class StepExecutor(Protocol):
    """What a driver needs: looking up skills and performing calls."""

    def skill(self, skill_id: str) -> str | None:
        """Return the label of a skill, such as `id@version`, or None when this worker does not have it."""

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call; see `perform` for the errors it raises.

        `begun` is called when the call starts; its time limit runs from then on.

        Raises:
            WorkerUnfit: this process could not perform the call; see `trouble`.
        """
        ...

    def trouble(self) -> str | None:
        """Return what this process lacks to perform any call, or None. Check this before claiming work."""
        ...


class LocalExecutor:
    """Performs calls in this process: async skills on the event loop, blocking ones in `threads`.

    `threads` is any `concurrent.futures.Executor`, so a remote pool works as well. At most `max_blocking` blocking
    calls execute at the same time; the others wait, and their time limit does not run while they wait.
    """

    def __init__(
        self,
        registry: SkillRegistry,
        keeper: OutputKeeper,
        threads: Executor,
        *,
        max_blocking: int = 8,
        on_progress: ReportStep | None = None,
        secrets: Secrets | None = None,
        open_log: OpenLog = unlogged,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._threads = threads
        self._slots = asyncio.Semaphore(max_blocking)
        self._on_progress = on_progress
        self._secrets = secrets
        self._open_log = open_log
        self._fitness = Fitness(keeper)

    def trouble(self) -> str | None:
        """Return what this process lacks to perform any call, or None."""
        return self._fitness.trouble()

    def skill(self, skill_id: str) -> str | None:
        """Return the label of a skill, or None when this worker does not have it; see `SkillRegistry.label`."""
        return self._registry.label(skill_id)

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call and move data that is too large for the log into the artifact store."""
        log = self._open_log(call)
        try:
            return await self._execute(call, begun, log)
        except Exception as error:
            unfit = self._fitness.judge(error)
            if unfit is not None:
                raise unfit from error
            raise
        finally:
            if log is not None:
                log.close()

    async def _execute(self, call: SkillCall, begun: OnBegun, log: StepLog | None) -> Output:
        skill = self._registry.get(call.skill_id)
        context = StepContext.for_call(call, self._keeper, self._reporter(call), self._secrets, log)
        if skill.blocking:
            async with self._slots:
                begun()
                output = await perform(skill, call, context, self._threads)
        else:
            begun()
            output = await perform(skill, call, context, self._threads)
        return await spilled(self._keeper, call.tenant, output) if self._keeper.must_spill(output) else output

    def _reporter(self, call: SkillCall) -> Callable[[float, str], None] | None:
        return None if self._on_progress is None else partial(self._on_progress, call)


@contextmanager
def attempt_log(open_log: OpenLog, call: SkillCall) -> Iterator[StepLog | None]:
    """Open the log of an attempt, and close it at the end."""
    log = open_log(call)
    try:
        yield log
    finally:
        if log is not None:
            log.close()


async def spilled(keeper: OutputKeeper, tenant: str, output: Output) -> Output:
    """Return an output that fits in the log; data that is too large is written to the store in a thread."""
    return await asyncio.to_thread(keeper.spill, tenant, output) if keeper.must_spill(output) else output
