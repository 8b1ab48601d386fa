"""What pull workers ask for over HTTP: work, whether to go on, and to report; and with which keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.access.identity import Role
from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.bootstrap.working import open_worker
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import define, step
from tests.integration.api.test_authentication import guarded
from tests.integration.api.test_errors import check
from tests.waiting import until
from tests.world.core import World, open_world
from tests.world.http import LIMITS, RUNS, connect

POLL = "/api/v1/pools/far/poll"
FLOW = define("flow", "1", [step("a", "far.work", executor="far", cache=False)])
PULLER = {"worker": "p1", "skills": ["far.work@1"], "slots": 1, "waitSeconds": 10}
MADE = {"output": {"data": {"made": True}}, "durationMs": 5.0}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    settings = {"executors": ("far=pull",), "lease_seconds": 2.0, "heartbeat_seconds": 0.2}
    with open_world(database_url, tmp_path, **settings) as world:
        yield world


@pytest.fixture
def core(world: World) -> Core:
    return world.core


@pytest.fixture
async def client(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with open_worker(core, SkillRegistry()), connect(create_app(core, LIMITS)) as client:
        yield client


async def begun(world: World, client: httpx.AsyncClient) -> tuple[str, dict[str, Any]]:
    """A run whose step was taken."""
    await world.register(FLOW)
    polling = asyncio.create_task(client.post(POLL, json=PULLER))
    run_id = await world.trigger("flow")
    answer = await polling
    assert answer.status_code == 200
    assert answer.json()["leaseSeconds"] == 2.0
    (work,) = answer.json()["works"]
    return run_id, work


def fence(work: dict[str, Any]) -> dict[str, str]:
    return {"X-Fence": work["fence"]}


async def test_a_poll_waits_for_work_and_its_result_is_the_runs(world: World, client: httpx.AsyncClient) -> None:
    run_id, work = await begun(world, client)
    assert (work["call"]["runId"], work["skill"]) == (run_id, "far.work@1")
    attempt = f"/api/v1/attempts/{work['name']}"
    assert (await client.post(f"{attempt}/beat", json={}, headers=fence(work))).json() == {"cancel": False}
    assert (await client.put(f"{attempt}/result", json=MADE, headers=fence(work))).json() == {"recorded": True}
    run = await world.finished(run_id)
    output = run.step("a").output
    assert output is not None
    assert (run.status, output.data) == ("completed", {"made": True})
    late = {"output": {"data": "late"}, "durationMs": 5.0}
    check(await client.put(f"{attempt}/result", json=late, headers=fence(work)), 409, "STALE_ATTEMPT")
    check(await client.post(f"{attempt}/beat", json={}, headers=fence(work)), 409, "STALE_ATTEMPT")


async def test_a_result_without_the_fence_is_refused(world: World, client: httpx.AsyncClient) -> None:
    run_id, work = await begun(world, client)
    attempt = f"/api/v1/attempts/{work['name']}/result"
    for headers in ({}, {"X-Fence": "0" * 32}):
        check(await client.put(attempt, json=MADE, headers=headers), 409, "STALE_ATTEMPT")
    assert (await world.folded(run_id)).status == "running"


async def test_large_data_moves_to_the_store(world: World, client: httpx.AsyncClient) -> None:
    run_id, work = await begun(world, client)
    large = {"output": {"data": "x" * 100_000}, "durationMs": 5.0}
    await client.put(f"/api/v1/attempts/{work['name']}/result", json=large, headers=fence(work))
    output = (await world.finished(run_id)).step("a").output
    assert output is not None
    assert output.data_ref is not None
    assert output.data is None


async def test_an_abandoned_attempt_starts_again_at_once(world: World, client: httpx.AsyncClient) -> None:
    run_id, work = await begun(world, client)
    told = await client.post(f"/api/v1/attempts/{work['name']}/beat", json={"abandon": True}, headers=fence(work))
    assert told.json() == {"cancel": True}
    (again,) = (await client.post(POLL, json=PULLER)).json()["works"]
    assert (again["call"]["runId"], again["call"]["attempt"]) == (run_id, 2)


async def test_a_cancelled_run_is_told_with_the_next_beat(world: World, client: httpx.AsyncClient) -> None:
    run_id, work = await begun(world, client)
    await client.post(f"{RUNS}/{run_id}/cancel", json={})
    beat = await client.post(f"/api/v1/attempts/{work['name']}/beat", json={}, headers=fence(work))
    assert beat.status_code == 409 or beat.json() == {"cancel": True}


async def test_a_poll_without_work_ends(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post(POLL, json={**PULLER, "waitSeconds": 0.1})
    assert answer.json() == {"works": [], "leaseSeconds": 2.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [("slots", 1001), ("slots", -1), ("waitSeconds", 31), ("labels", ["a b"]), ("skills", ["none"]), ("worker", "")],
)
async def test_a_poll_out_of_bounds_is_refused(client: httpx.AsyncClient, field: str, value: Any) -> None:
    body = check(await client.post(POLL, json={**PULLER, field: value}), 400, "VALIDATION_ERROR")
    assert body["details"]["faults"][0]["path"].startswith(field)


@pytest.mark.parametrize("body", [{"durationMs": 1.0}, {**MADE, "error": {"code": "X", "message": ""}}])
async def test_a_result_is_either_an_output_or_an_error(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.put(f"/api/v1/attempts/{'0' * 32}/result", json=body, headers={"X-Fence": "x"})
    assert "either output or error" in check(answer, 400, "VALIDATION_ERROR")["message"]


async def test_an_executors_key_is_good_for_its_pool_only(core: Core) -> None:
    _, shown = core.keys.create(tenant="default", name="far", role=Role.EXECUTOR, pool="far", created_by="test", now=0)
    async with connect(guarded(core)) as client:
        client.headers["Authorization"] = f"Bearer {shown}"
        body = {**PULLER, "waitSeconds": 0}
        assert (await client.post(POLL, json=body)).json()["works"] == []
        check(await client.post("/api/v1/pools/near/poll", json=body), 403, "FORBIDDEN")
        for method, path in (("GET", RUNS), ("POST", RUNS), ("GET", "/api/v1/me"), ("GET", "/api/v1/workflows")):
            check(await client.request(method, path), 403, "FORBIDDEN")


async def test_polls_end_when_the_server_stops(core: Core) -> None:
    app = create_app(core, LIMITS)
    async with connect(app) as client:
        polling = asyncio.create_task(client.post(POLL, json={**PULLER, "waitSeconds": 30}))
        await until(lambda: app.served.pools.waiting, what="the poll waits", right=bool)
        app.served.close()
        assert (await polling).json()["works"] == []
