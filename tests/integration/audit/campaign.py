"""Runs of every fate, for logs that are worth auditing."""

import asyncio
from pathlib import Path

from orchestrator.bootstrap.core import Core
from tests.integration.changes.world import CALLER, World, world

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


async def mixture(here: World, count: int = 6) -> list[str]:
    """Completed, failed and cached runs, and one that was cancelled before it began; returns their ids."""
    await here.register(DOCUMENT)
    ids = [await here.run("audited", {"seed": seed % 4}) for seed in range(count)]
    here.broken.add("right")
    ids.append(await here.run("audited", {"seed": 99}, status="failed"))
    here.broken.clear()
    accepted = await here.core.commands.trigger(CALLER, "audited", payload={"seed": 5})
    await here.finished(accepted)
    return ids


async def projected(core: Core) -> None:
    """Return when the read models have everything."""
    async with asyncio.timeout(30):
        while core.reader.position() < core.log.last_position():
            await asyncio.sleep(0.01)


async def recorded(database_url: str, folder: Path) -> list[str]:
    """Fill a database with a mixture, and return the ids of its runs."""
    async with world(database_url, folder) as here:
        ids = await mixture(here)
        await projected(here.core)
    return ids
