"""An idle system leaves the database alone."""

import asyncio
from dataclasses import replace

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from tests.integration.counting import CountingDatabase


async def test_an_idle_worker_and_projector_ask_less_than_once_a_second(database_url: str) -> None:
    database = CountingDatabase(database_url)
    with open_core(Settings(database_url=database_url)) as opened:
        core = replace(opened, database=database)
        try:
            with open_projector(core):
                async with open_worker(core, SkillRegistry()):
                    await asyncio.sleep(2)
                    begun = database.lent
                    await asyncio.sleep(8)
                    assert 1 <= database.lent - begun <= 6
        finally:
            database.close()
