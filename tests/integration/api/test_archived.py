"""A run that has left for the archive is gone, not unknown; its key is still taken."""

import asyncio

import httpx

from orchestrator.application.clock import now
from orchestrator.application.core import Core
from orchestrator.bootstrap.retaining import build_archivist
from tests.waiting import until
from tests.world.core import register
from tests.world.http import RUNS
from tests.world.lines import LINE, SKILLS
from tests.world.work import at_work

ASKED = {"workflowName": LINE.name, "triggerPayload": {"text": "x"}}
KEY = {"Idempotency-Key": "once"}


async def test_an_archived_run_is_gone_and_its_key_is_taken(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    async with at_work(core, SKILLS):
        run_id = (await client.post(RUNS, json=ASKED, headers=KEY)).json()["runId"]
        await until(lambda: core.reader.queues()["running"] + core.reader.queues()["queued"] == 0)
        await core.cache.invalidate("default", "test", workflow=LINE.name)
        await until(lambda: core.reader.position() == core.log.last_position())
    assert (await asyncio.to_thread(build_archivist(core, "test").apply, now() + 1000)).runs == 1
    for path in ("", "/steps", "/artifacts", "/events", "/events/stream", "/cache-analysis", "?at=1"):
        answer = await client.get(f"{RUNS}/{run_id}{path}")
        assert (answer.status_code, answer.json()["error"]) == (410, "RUN_ARCHIVED"), path
        assert answer.json()["details"]["archive"].endswith(".parquet")
    for path in ("/cancel", "/retry", "/update", "/update/plan"):
        body = {"changeRequest": {"type": "payload.patch", "payload": {}}} if "update" in path else {}
        answer = await client.post(f"{RUNS}/{run_id}{path}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (410, "RUN_ARCHIVED"), path
    assert (await client.get(RUNS)).json()["runs"] == []
    again = await client.post(RUNS, json=ASKED, headers=KEY)
    assert (again.status_code, again.json()["runId"]) == (202, run_id)
    other = await client.post(RUNS, json={**ASKED, "triggerPayload": {"text": "y"}}, headers=KEY)
    assert (other.status_code, other.json()["error"]) == (409, "IDEMPOTENCY_CONFLICT")
