"""Runs of every fate, for logs that are worth auditing."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from orchestrator.application.commands import Wanted
from orchestrator.domain.change import ChangeRequest
from tests.waiting import until
from tests.world.core import CALLER
from tests.world.echo import EchoWorld, open_echo_world

DOCUMENT = {
    "workflowName": "audited",
    "version": "1",
    "steps": [
        {"stepId": "plan", "skillId": "test.echo", "input": {"seed": "trigger.seed", "file": "`true`"}},
        {"stepId": "left", "skillId": "test.echo", "dependsOn": ["plan"], "input": {"of": "steps.plan.data"}},
        {"stepId": "right", "skillId": "test.echo", "dependsOn": ["plan"], "input": {"seed": "trigger.seed"}},
        {"stepId": "join", "skillId": "test.echo", "dependsOn": ["left", "right"], "input": {"x": "steps.left.data"}},
    ],
}


OPEN = {
    "workflowName": "open",
    "version": "1",
    "steps": [
        {"stepId": "first", "skillId": "test.echo", "input": {"n": "`1`"}, "cachePolicy": {"scope": "run_only"}},
        {"stepId": "last", "skillId": "test.nobody", "dependsOn": ["first"]},
    ],
}


async def mixture(here: EchoWorld, count: int = 6) -> list[str]:
    """Completed, failed and cached runs, and one that was cancelled before it began; returns their ids."""
    await here.register(DOCUMENT)
    ids = [await here.make("audited", {"seed": seed % 4}) for seed in range(count)]
    here.broken.add("right")
    ids.append(await here.make("audited", {"seed": 99}, status="failed"))
    here.broken.clear()
    accepted = await here.core.commands.trigger(CALLER, Wanted("audited", payload={"seed": 5}))
    await here.done(accepted)
    return ids


async def every_fate(here: EchoWorld) -> list[str]:
    """A mixture, an update, a retry, withdrawn results, another version of the workflow, and runs that are open."""
    ids = await mixture(here)
    change = ChangeRequest("payload.patch", {"seed": 7})
    ids.append(await here.done(await here.core.changes.update(CALLER, ids[0], change)))
    ids.append(await here.done(await here.core.changes.retry(CALLER, ids[6])))
    await here.core.cache.invalidate("default", "test", workflow="audited", step="left", reason="doubts")
    await here.register(DOCUMENT | {"version": "2", "description": "The second."})
    ids.append(await here.make("audited", {"seed": 1}))
    await here.register(OPEN)
    blocked = (await here.core.commands.trigger(CALLER, Wanted("open", payload={}, priority=3))).run_id
    look = partial(here.core.database.call, here.core.reader.run, "default", blocked)
    await until(look, 30, "it is blocked", right=lambda run: run["status"] == "blocked")
    cancelled = (await here.core.commands.trigger(CALLER, Wanted("open", payload={}))).run_id
    await here.core.commands.cancel(CALLER, cancelled, "enough")
    return [*ids, blocked, cancelled]


async def recorded(
    database_url: str, folder: Path, make: Callable[[EchoWorld], Awaitable[list[str]]] = mixture
) -> list[str]:
    """Fill a database with a mixture, or what else there is to make, and return the ids of its runs."""
    async with open_echo_world(database_url, folder) as here:
        ids = await make(here)
        await here.projected()
    return ids
