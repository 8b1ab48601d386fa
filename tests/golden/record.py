"""`python -m tests.golden.record VERSION [NAME...]`: real runs of every fate, recorded as golden logs of a release.

A log that was recorded is never changed: a release adds its own, beside those of earlier ones.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.folders import open_folder
from orchestrator.application.caller import Caller
from orchestrator.application.calls import Calls
from orchestrator.audit.transfer.export import EventSelection, select, write_export
from orchestrator.domain.change import ChangeRequest
from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.migrate import migrate
from tests.conftest import MIGRATIONS
from tests.golden.states import LOGS, states
from tests.integration.audit.campaign import every_fate, recorded
from tests.integration.projections.test_read_models import make_history
from tests.integration.workers.test_conditions import BANNER, FALLBACK
from tests.servers import Databases
from tests.world.core import CALLER, open_world
from tests.world.work import Journal, at_work


async def fates(url: str, folder: Path) -> None:
    """Completed, failed, cached, cancelled, blocked; updates and retries; results withdrawn; a second version."""
    await recorded(url, folder, every_fate)


async def workers(url: str, folder: Path) -> None:
    """Retried, recovered from a worker that went, blocked, cancelled while executing, still queued."""
    with open_world(url, folder, shutdown_grace_seconds=0.0) as world:
        await make_history(world)


async def campaign(url: str, folder: Path) -> None:
    """The example: 13 steps, the same again from the cache, and a chain of two updates."""
    from tests.golden.example import run_campaign

    await run_campaign(url, folder)


async def retired(url: str, folder: Path) -> None:
    """A workflow that is retired and restored, version by version, between its runs."""
    with open_world(url, folder) as world:
        calls = Calls(world.core, Caller("default", "ann"))
        for version in ("1", "2"):
            await calls.register({"workflowName": "w", "version": version, "steps": [{"stepId": "a", "skillId": "b"}]})
            await calls.trigger("w")
        await calls.retire_workflow("w", version="2", reason="it was too slow")
        await calls.trigger("w")
        await calls.retire_workflow("w")
        await calls.restore_workflow("w", version="2")
        await calls.trigger("w")


async def conditional(url: str, folder: Path) -> None:
    """Steps omitted by a condition and for want of a result, a tolerated failure; an update and a retry of them."""
    with open_world(url, folder) as world:
        await world.register(FALLBACK, BANNER)
        async with at_work(world.core, Journal().registry()):
            failing = await world.run("fallback", fails=9)
            await world.projected()
            await world.finished(await world.core.changes.retry(CALLER, failing.id))
            plain = await world.run("banner", wanted=False)
            other = await world.update(plain, ChangeRequest("payload.patch", {"else": 1}))
            await world.update(other, ChangeRequest("payload.patch", {"wanted": True}))


SCENARIOS: tuple[Callable[[str, Path], Awaitable[None]], ...] = (fates, workers, campaign, retired, conditional)


def main(version: str, *names: str) -> None:
    LOGS.mkdir(exist_ok=True)
    with open_folder() as server_folder, EmbeddedPostgres(server_folder) as server:
        databases = Databases(server)
        for scenario in SCENARIOS:
            if names and scenario.__name__ not in names:
                continue
            path = LOGS / f"{version}-{scenario.__name__}.jsonl"
            if path.exists():
                raise SystemExit(f"{path} is there already, and golden")
            name = databases.create()
            migrate(databases.url(name), MIGRATIONS, new_format=FORMAT)
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(scenario(databases.url(name), Path(folder)))
                with open_world(databases.url(name), Path(folder)) as world:
                    tally = write_export(select(world.core.log, EventSelection()), path, "jsonl")
            path.with_suffix(".states.json").write_text(json.dumps(states(path), indent=1) + "\n")
            print(f"{path}: {tally.events} events")


if __name__ == "__main__":
    main(*sys.argv[1:])
