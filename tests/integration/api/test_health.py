import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import LINE


async def test_health_is_found_by_habit_and_by_contract(client: httpx.AsyncClient) -> None:
    for base in ("", "/api/v1"):
        await check_health(client, base)


async def check_health(client: httpx.AsyncClient, base: str) -> None:
    assert (await client.get(f"{base}/health/live")).json() == {"status": "live"}
    assert (await client.get(f"{base}/health/ready")).json() == {
        "status": "ready", "position": 0, "lastPosition": 0, "lag": 0, "lagSeconds": 0.0,
    }  # fmt: skip
    assert (await client.get(f"{base}/health/queues")).json() == {
        "queued": 0, "running": 0, "blocked": 0, "workers": 0,
    }  # fmt: skip


async def test_read_models_that_do_not_keep_up_are_reported(core: Core) -> None:
    await register(core, LINE)
    async with connect(create_app(core, RequestLimits(lag=0.5))) as client:
        await trigger(client)
        young = await client.get("/health/ready")
        old = await until(
            lambda: client.get("/health/ready"),
            what="the lag is reported",
            right=lambda answer: answer.status_code != 200,
        )
        assert (old.status_code, old.json()["error"]) == (503, "NOT_READY")
        assert old.headers["retry-after"] == "1"
        details = old.json()["details"]
        assert (details["database"], details["position"], details["lastPosition"], details["lag"]) == (True, 0, 2, 2)
        assert details["lagSeconds"] > 0.5
        assert young.status_code == 200 or young.json()["details"]["lagSeconds"] > 0.5
        with open_projector(core):

            async def is_ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await until(is_ready)
            assert (await client.get("/health/ready")).json()["lag"] == 0


async def test_a_read_waits_for_what_was_written(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    with open_projector(core):
        for _ in range(10):
            answer = await client.post(RUNS, json={"workflowName": "test.line"})
            fresh = {"X-Min-Position": answer.headers["x-log-position"]}
            newest = (await client.get(f"{RUNS}?limit=1", headers=fresh)).json()["runs"][0]
            assert newest["id"] == answer.json()["runId"]


async def test_a_read_waits_only_so_long(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    run_id = await trigger(client)
    fresh = {"X-Min-Position": str(core.log.last_position())}
    for path in (RUNS, f"{RUNS}/{run_id}", f"{RUNS}/{run_id}/steps", f"{RUNS}/{run_id}/artifacts"):
        begun = time.monotonic()
        answer = await client.get(path, headers=fresh)
        assert 0.4 < time.monotonic() - begun < 5
        assert (answer.status_code, answer.json()["error"]) == (503, "PROJECTION_LAGGING"), path
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["details"] == {"position": 0, "minPosition": int(fresh["X-Min-Position"])}


async def test_those_who_wait_are_woken_by_the_projector(core: Core) -> None:
    await register(core, LINE)
    async with connect(create_app(core, RequestLimits(read_wait=20.0, deadline=30.0))) as client:
        await trigger(client)
        fresh = {"X-Min-Position": str(core.log.last_position())}
        waiting = [asyncio.create_task(client.get(RUNS, headers=fresh)) for _ in range(20)]
        await asyncio.sleep(0.3)  # the time itself is the subject: nobody is answered meanwhile
        assert not any(task.done() for task in waiting)
        with open_projector(core):
            async with asyncio.timeout(10):
                answers = await asyncio.gather(*waiting)
        assert {answer.status_code for answer in answers} == {200}
        assert all(len(answer.json()["runs"]) == 1 for answer in answers)


async def test_a_bad_position_is_refused(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for position in ("x", "-1", "", str(2**63), "1.5", "1.0", "1_0", "+1", "1 0", "0x1", "\xb2", "9" * 5000):
        with subtests.test(position[:20]):
            answer = await client.get(RUNS, headers={"X-Min-Position": position.encode("latin-1")})  # type: ignore[dict-item]
            assert answer.status_code == 400
            assert answer.json()["details"]["faults"][0]["path"] == "X-Min-Position"
    with subtests.test("twice"):
        answer = await client.get(RUNS, headers=[("X-Min-Position", "0"), ("X-Min-Position", "0")])
        assert answer.json()["details"]["faults"] == [{"path": "X-Min-Position", "message": "is given more than once"}]


async def test_a_position_beyond_the_log_is_refused_at_once(core: Core) -> None:
    await register(core, LINE)
    async with connect(create_app(core, RequestLimits(read_wait=60.0, deadline=60.0))) as client:
        run_id = await trigger(client)
        last = core.log.last_position()
        artifact = "/api/v1/artifacts/018f3c2e-0000-7000-8000-000000000001/content"
        for path in (RUNS, f"{RUNS}/{run_id}", f"{RUNS}/{run_id}/steps", f"{RUNS}/{run_id}/artifacts", artifact):
            for position in (last + 1, 2**63 - 1):
                async with asyncio.timeout(20):
                    answer = await client.get(path, headers={"X-Min-Position": str(position)})
                assert answer.status_code == 400, path
                details = answer.json()["details"]
                assert details["lastPosition"] == last
                assert details["faults"] == [
                    {
                        "path": "X-Min-Position",
                        "message": f"is {position}, but the last position of the log is {last}",
                    }
                ]


async def test_a_position_that_another_process_wrote_is_no_fault(
    core: Core, client: httpx.AsyncClient, database_url: str, open_on: Callable[[str], Core]
) -> None:
    await register(core, LINE)
    other = open_on(database_url)
    with open_projector(core):
        for _ in range(10):
            async with connect(create_app(other, LIMITS)) as elsewhere:
                answer = await elsewhere.post(RUNS, json={"workflowName": "test.line"})
            fresh = {"X-Min-Position": answer.headers["x-log-position"]}
            newest = (await client.get(f"{RUNS}?limit=1", headers=fresh)).json()["runs"][0]
            assert newest["id"] == answer.json()["runId"]
