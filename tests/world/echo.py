"""A world that is at work with a skill which returns its input, and that knows what was executed."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import SkillError, StepContext, skill
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.skills.registry import SkillRegistry
from tests.waiting import until
from tests.world.core import CALLER, World, open_world
from tests.world.work import at_work


@dataclass(frozen=True, slots=True)
class EchoWorld(World):
    """Which steps were executed in which run. `make` and `done` wait for the read models, as changes need."""

    executed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    broken: set[str] = field(default_factory=set)

    async def make(self, name: str, payload: Mapping[str, Any], status: str = "completed") -> str:
        """Trigger a run, see it end with a status, and return its id."""
        return await self.done(await self.core.commands.trigger(CALLER, Wanted(name, payload=payload)), status)

    async def done(self, accepted: Accepted, status: str = "completed") -> str:
        """See a run end with a status, and return its id."""
        over = ("completed", "failed", "cancelled")
        look = partial(self.core.database.call, self.core.reader.run, "default", accepted.run_id)
        run = await until(look, what="the run is over", right=lambda run: run["status"] in over)
        assert run["status"] == status, run["error"]
        return accepted.run_id

    async def steps(self, run_id: str) -> dict[str, dict[str, Any]]:
        views = await self.core.database.call(self.core.reader.steps, "default", run_id)
        return {view["stepId"]: view for view in views}


@asynccontextmanager
async def open_echo_world(
    database_url: str, folder: Path, registry: SkillRegistry | None = None
) -> AsyncIterator[EchoWorld]:
    """Open a world with a skill `test.echo`, which returns its input, makes a file of it, or fails when told to."""
    with open_world(database_url, folder) as world:
        here = EchoWorld(world.core)

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
        async with at_work(here.core, registry):
            yield here
