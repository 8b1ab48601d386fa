"""Triggers outrun the workers: what waits is in the database, and the memory of every process stays flat."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.waiting import eventually
from tests.world.programs import Program, Site

PHASE = 1_000
AT_ONCE = 40
ROOM_BYTES = 12 << 20  # a projector that kept every open run takes 28 MB more in the second phase of wide runs

WIDE = {
    "workflowName": "flood.wide",
    "version": "1",
    "steps": [{"stepId": f"s{number}", "skillId": "flood.nobody"} for number in range(400)],
}
QUICK = {"workflowName": "flood.quick", "version": "1", "steps": [{"stepId": "one", "skillId": "flood.one"}]}
SKILL = """
from orchestrator import skill


@skill("flood.one")
async def one(given: dict) -> dict:
    return {"big": "x" * 1000}
"""


async def flood(address: str, body: dict[str, Any]) -> None:
    """Trigger runs, many at once, each with other input; a connection that was closed meanwhile is opened anew."""
    numbers, flood_id = iter(range(PHASE)), uuid4()

    async def send(client: httpx.AsyncClient) -> None:
        for number in numbers:
            key = {"Idempotency-Key": f"{flood_id} {number}"}
            document = {**body, "triggerPayload": {"n": number}}
            try:
                answer = await client.post("/api/v1/runs", json=document, headers=key)
            except httpx.TransportError:
                answer = await client.post("/api/v1/runs", json=document, headers=key)
            assert answer.status_code == 202, answer.text

    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        await asyncio.gather(*(send(client) for _ in range(AT_ONCE)))


def growth(processes: dict[str, Program], phase: Callable[[], None]) -> dict[str, int]:
    """How many bytes each process has grown by between a first and a second time."""
    phase()
    before = {name: psutil.Process(one.process.pid).memory_info().rss for name, one in processes.items()}
    phase()
    return {name: psutil.Process(one.process.pid).memory_info().rss - before[name] for name, one in processes.items()}


@pytest.mark.timeout(600)
def test_memory_is_flat_while_triggers_outrun_workers(home: Path, database_url: str, programs: ExitStack) -> None:
    for document in (WIDE, QUICK):
        (home / f"{document['workflowName']}.json").write_text(json.dumps(document))
    (home / "flood.py").write_text(SKILL)
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    env |= {"ORCHESTRATOR_MAX_RUNS": "20", "ORCHESTRATOR_LOG_LEVEL": "warning"}
    files = [word for document in (WIDE, QUICK) for word in ("--workflows", home / f"{document['workflowName']}.json")]
    # one projector alone: of two that take turns, each forgets what it has in memory
    api = programs.enter_context(Program("api", "--no-projector", "--port", "0", *files, env=env))
    projector = programs.enter_context(Program("projector", env=env))
    address = api.ready()
    site = programs.enter_context(Site(address))
    projector.ready()

    def projected() -> bool:
        standing = site.get("/health/ready")
        return bool(standing["position"] == standing["lastPosition"])

    def nobody_works() -> None:
        asyncio.run(flood(address, {"workflowName": WIDE["workflowName"]}))
        eventually(projected, 90, "everything is projected")

    grown = growth({"api": api, "projector": projector}, nobody_works)
    assert site.get("/health/queues")["queued"] == 2 * PHASE
    assert max(grown.values()) < ROOM_BYTES, grown

    worker = programs.enter_context(Program("worker", "--skills", home / "flood.py", env=env))
    worker.ready()

    def somebody_works() -> None:
        asyncio.run(flood(address, {"workflowName": QUICK["workflowName"], "priority": 1}))
        eventually(lambda: site.get("/runs?status=queued&workflowName=flood.quick&limit=1")["runs"] == [], 90)
        eventually(projected, 90, "everything is projected")

    grown = growth({"api": api, "projector": projector, "worker": worker}, somebody_works)
    assert max(grown.values()) < ROOM_BYTES, grown
    for program in (worker, projector, api):
        assert program.stop() == 0
