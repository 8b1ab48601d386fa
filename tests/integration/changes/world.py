"""A worker and a projector on a database, and a few words to drive them with."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import SkillError, StepContext, skill
from orchestrator.application.caller import Caller
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows.document import load_document
from tests.waiting import until

CALLER = Caller("default", "test")


@dataclass(slots=True)
class World:
    """A running program, and which steps it executed in which run."""

    core: Core
    executed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    broken: set[str] = field(default_factory=set)

    async def register(self, document: Any) -> Workflow:
        workflow = document if isinstance(document, Workflow) else load_document(document, "test")
        await self.core.workflows.register(workflow, tenant="default", actor="test")
        return workflow

    async def run(self, name: str, payload: dict[str, Any], status: str = "completed") -> str:
        return await self.finished(await self.core.commands.trigger(CALLER, Wanted(name, payload=payload)), status)

    async def finished(self, accepted: Accepted, status: str = "completed") -> str:
        over = ("completed", "failed", "cancelled")
        look = partial(self.core.database.call, self.core.reader.run, "default", accepted.run_id)
        run = await until(look, what="the run is over", right=lambda run: run["status"] in over)
        assert run["status"] == status, run["error"]
        return accepted.run_id

    async def steps(self, run_id: str) -> dict[str, dict[str, Any]]:
        views = await self.core.database.call(self.core.reader.steps, "default", run_id)
        return {view["stepId"]: view for view in views}


@asynccontextmanager
async def world(database_url: str, folder: Path, registry: SkillRegistry | None = None) -> AsyncIterator[World]:
    """Open a world with a skill `test.echo`, which returns its input, makes a file of it, or fails when told to."""
    settings = Settings(database_url=database_url, data_dir=folder)
    with open_core(settings) as core, open_projector(core):
        here = World(core)

        @skill("test.echo")
        async def echo(input: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
            here.executed[ctx.run_id].append(ctx.step_id)
            if ctx.step_id in here.broken:
                raise SkillError("BROKEN", f"{ctx.step_id} is broken", retryable=False)
            if input.get("file"):
                ctx.artifact(repr(input).encode(), type="text/plain", filename=f"{ctx.step_id}.txt")
            return {"saw": input}

        registry = registry or SkillRegistry()
        registry.add(echo)
        async with open_worker(core, registry):
            yield here
