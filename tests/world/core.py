"""A core on a test's database, and words to drive it with.

    with open_world(database_url, tmp_path, lease_seconds=2.0) as world:
        await world.register(workflow("one", step("a")))
        async with open_worker(world.core, journal.registry()):
            run = await world.run("one")

What is given by name are settings of the program.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.application.core import Core
from orchestrator.application.explain import Explanation
from orchestrator.bootstrap.core import open_core
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.events import StepStarted
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Workflow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings
from orchestrator.workflows.document import load_document
from tests.waiting import until

SQL = load_sql(__file__)
CALLER = Caller("default", "test")


@contextmanager
def open_world(database_url: str, folder: Path, *, migrates: bool = False, **settings: Any) -> Iterator["World"]:
    """Open a core with nobody at work; its artifacts are in `folder / "artifacts"`."""
    given = Settings(database_url=database_url, data_dir=folder, **settings)
    with open_core(given, migrates=migrates) as core:
        yield World(core)


async def register(core: Core, *workflows: Workflow | Mapping[str, Any], tenant: str = CALLER.tenant) -> None:
    """Register workflows, or documents of them."""
    for one in workflows:
        workflow = one if isinstance(one, Workflow) else load_document(one, "test")
        await core.workflows.register(workflow, tenant=tenant, actor=CALLER.actor)


@dataclass(frozen=True, slots=True)
class World:
    """A core, and what tests ask of it. A payload is given whole, or field by field."""

    core: Core

    async def register(self, *workflows: Workflow | Mapping[str, Any]) -> None:
        await register(self.core, *workflows)

    async def trigger(
        self, name: str, payload: Mapping[str, Any] | None = None, caller: Caller = CALLER, /, **fields: Any
    ) -> str:
        wanted = Wanted(name, payload={**(payload or {}), **fields})
        return (await self.core.commands.trigger(caller, wanted)).run_id

    async def run(
        self, name: str, payload: Mapping[str, Any] | None = None, caller: Caller = CALLER, /, **fields: Any
    ) -> Run:
        """Trigger a run and see it finished."""
        return await self.finished(await self.trigger(name, payload, caller, **fields))

    async def update(self, base: Run, change: ChangeRequest) -> Run:
        """Change a run that is finished, and see the new one finished."""
        await self.projected()
        return await self.finished(await self.core.changes.update(CALLER, base.id, change))

    async def folded(self, run_id: str) -> Run:
        """The run as its log says, whatever the read models know."""
        return (await self.core.database.ask(self.core.runs.load, run_id)).run

    async def finished(self, run: str | Accepted) -> Run:
        run_id = run.run_id if isinstance(run, Accepted) else run
        return await self.reached(run_id, "completed", "failed", "cancelled")

    async def reached(self, run_id: str, *statuses: str) -> Run:
        """Wait until the run has one of these statuses."""
        look, told = partial(self.folded, run_id), f"the run is {' or '.join(statuses)}"
        return await until(look, what=told, right=lambda run: run.status in statuses)

    async def all_finished(self, run_ids: Iterable[str]) -> list[Run]:
        return [await self.finished(run_id) for run_id in run_ids]

    async def projected(self) -> None:
        """Wait until the read models have caught up with the log."""
        await until(
            lambda: (self.core.reader.position(), self.core.log.last_position()),
            what="the read models have everything",
            right=lambda positions: positions[0] >= positions[1],
        )

    async def invalidate(self, *keys: str, workflow: str | None = None, step: str | None = None) -> int:
        return await self.core.cache.invalidate(CALLER.tenant, "test", keys=keys, workflow=workflow, step=step)

    async def explain(self, run: Run, step: str) -> Explanation:
        return (await self.core.explainer.explain(CALLER.tenant, run.id, [step]))[0]

    def history(self, run_id: str) -> list[Recorded]:
        return self.core.log.read(run_id)

    def events(self, run_id: str) -> list[str]:
        """The names of a run's events, with the step where there is one."""
        words = []
        for recorded in self.history(run_id):
            name = getattr(recorded.event, "step", "")
            words.append(f"{type(recorded.event).__name__} {name}".strip())
        return words

    def misses(self, run: Run) -> dict[str, str | None]:
        """Why each step that a run started was not taken from the cache."""
        events = (recorded.event for recorded in self.history(run.id))
        return {event.step: event.miss for event in events if isinstance(event, StepStarted)}

    def queue(self) -> dict[str, str | None]:
        """The owner of each run that is not over."""
        with self.core.database.connection() as connection:
            return {row["run_id"]: row["owner"] for row in connection.execute(SQL.queue).fetchall()}


def statuses(run: Run) -> dict[str, str]:
    return {step_id: state.status for step_id, state in run.states()}


def outputs(run: Run) -> dict[str, Any]:
    return {step_id: state.output for step_id, state in run.states()}
