"""An idle system leaves the database alone."""

import asyncio
from dataclasses import replace
from datetime import datetime

import psycopg

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.postgres.sql import load_sql
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from tests.integration.counting import CountingDatabase

SQL = load_sql(__file__)


def heartbeat(url: str) -> datetime:
    with psycopg.connect(url) as connection:
        row = connection.execute(SQL.heartbeat).fetchone()
    assert row is not None
    return row[0]


async def test_an_idle_worker_and_projector_ask_less_than_once_a_second(database_url: str) -> None:
    database = CountingDatabase(database_url)
    with open_core(Settings(database_url=database_url)) as opened:
        core = replace(opened, database=database)
        try:
            with open_projector(core):
                async with open_worker(core, SkillRegistry()):
                    await asyncio.sleep(2)  # nothing tells when: the start is over
                    begun, beaten = database.lent, heartbeat(database_url)
                    await asyncio.sleep(8)  # the time itself is the subject: what it asks meanwhile is counted
                    assert database.lent - begun <= 6
                    assert heartbeat(database_url) > beaten
        finally:
            database.close()
