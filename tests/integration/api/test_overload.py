"""More requests than can be served: those that wait are bounded, the others are told to come again."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psycopg

from orchestrator.api.app import create_app
from orchestrator.postgres.sql import load_sql
from tests.waiting import until
from tests.world.core import open_world, register
from tests.world.http import LIMITS, RUNS, connect
from tests.world.lines import LINE

SQL = load_sql(__file__)
MOST = 10


async def test_who_is_too_many_is_told_to_come_again(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path, max_requests=MOST) as world:
        core = world.core
        await register(core, LINE)
        app = create_app(core, LIMITS)
        async with connect(app) as client:

            async def ask() -> httpx.Response:
                return await client.post(RUNS, json={"workflowName": LINE.name, "triggerPayload": {"text": "x"}})

            with psycopg.connect(database_url) as holder:
                holder.execute(SQL.hold_appends)  # nothing is committed meanwhile
                waiting = [asyncio.create_task(ask()) for _ in range(MOST)]
                await until(lambda: app.served.requests._taken == MOST, what="as many as may are being served")
                refused = await asyncio.gather(*(ask() for _ in range(3 * MOST)))
                assert {answer.status_code for answer in refused} == {503}
                assert {answer.json()["error"] for answer in refused} == {"OVERLOADED"}
                assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
                assert (await client.get("/api/v1/health/live")).status_code == 200
            accepted = await asyncio.gather(*waiting)
            assert Counter(answer.status_code for answer in accepted) == {202: MOST}
            assert (await ask()).status_code == 202  # there is room again
            assert core.reader.queues()["queued"] == MOST + 1
