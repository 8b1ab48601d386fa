"""What the cache tests work with: a core with a worker on it, runs seen through, and what their logs say."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.application.core import Core
from orchestrator.application.explain import Explanation
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.events import StepStarted
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from orchestrator.skills.skill import Skill
from tests.waiting import until

CALLER = Caller("default", "test")


@dataclass(frozen=True, slots=True)
class Studio:
    """A core whose runs are executed by workers opened on it."""

    core: Core

    async def register(self, *workflows: Workflow) -> None:
        for workflow in workflows:
            await self.core.workflows.register(workflow, tenant=CALLER.tenant, actor=CALLER.actor)

    async def run(self, workflow: str, payload: Mapping[str, Any] | None = None, caller: Caller = CALLER) -> Run:
        """Trigger a run, see it finished."""
        return await self.finished(await self.core.commands.trigger(caller, Wanted(workflow, payload=payload or {})))

    async def update(self, base: Run, change: ChangeRequest) -> Run:
        await self.projected()
        return await self.finished(await self.core.changes.update(CALLER, base.id, change))

    async def finished(self, accepted: Accepted) -> Run:
        look = partial(self.folded, accepted.run_id)
        return await until(look, what="the run is over", right=lambda run: run.is_finished)

    async def folded(self, run_id: str) -> Run:
        return (await self.core.database.call(self.core.runs.load, run_id)).run

    async def projected(self) -> None:
        await until(
            lambda: (self.core.reader.position(), self.core.log.last_position()),
            what="the read models have everything",
            right=lambda positions: positions[0] >= positions[1],
        )

    async def invalidate(self, *keys: str, workflow: str | None = None, step: str | None = None) -> int:
        return await self.core.cache.invalidate(CALLER.tenant, "test", keys=keys, workflow=workflow, step=step)

    async def explain(self, run: Run, step: str) -> Explanation:
        return (await self.core.explainer.explain(CALLER.tenant, run.id, [step]))[0]

    def misses(self, run: Run) -> dict[str, str | None]:
        """Return why each step that a run started was not taken from the cache."""
        events = (recorded.event for recorded in self.core.log.read(run.id))
        return {event.step: event.miss for event in events if isinstance(event, StepStarted)}


@contextmanager
def open_studio(database_url: str, folder: Path, **settings: Any) -> Iterator[Studio]:
    given = {"database_url": database_url, "data_dir": folder, "artifact_url": str(folder / "artifacts"), **settings}
    with open_core(Settings(**given)) as core:
        yield Studio(core)


@asynccontextmanager
async def at_work(studio: Studio, skills: Iterable[Skill] | SkillRegistry) -> AsyncIterator[Studio]:
    """A worker that knows the skills, and a projector."""
    registry = skills if isinstance(skills, SkillRegistry) else SkillRegistry(skills)
    async with AsyncExitStack() as stack:
        stack.enter_context(open_projector(studio.core))
        await stack.enter_async_context(open_worker(studio.core, registry))
        yield studio


def statuses(run: Run) -> dict[str, str]:
    return {step: state.status for step, state in run.states()}


def outputs(run: Run) -> dict[str, Any]:
    return {step: state.output for step, state in run.states()}
