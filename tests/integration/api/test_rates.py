"""Who asks too often is told when to come again; nobody else is."""

from typing import Any

from orchestrator.access.identity import Role
from orchestrator.application.core import Core
from tests.integration.api.test_authentication import guarded, issue
from tests.integration.api.test_errors import check
from tests.servers import ValkeyServer
from tests.world.core import register
from tests.world.http import RUNS, connect
from tests.world.lines import LINE


async def test_a_key_has_its_rate(core: Core) -> None:
    async with connect(guarded(core, rate_limit_key=0.01, rate_limit_burst_seconds=300.0)) as client:
        one, other = issue(core, Role.VIEWER), issue(core, Role.VIEWER)
        assert [(await client.get(RUNS, headers=one)).status_code for _ in range(5)] == [200] * 3 + [429] * 2
        answer = await client.get(RUNS, headers=one)
        assert check(answer, 429, "RATE_LIMITED")["details"] == {"limited": "key"}
        assert 90 < int(answer.headers["retry-after"]) <= 100
        assert (await client.get(RUNS, headers=other)).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


async def test_a_tenant_has_its_rate_whatever_the_key(core: Core) -> None:
    async with connect(guarded(core, rate_limit_tenant=0.01, rate_limit_burst_seconds=200.0)) as client:
        for status in (200, 200, 429):
            answer = await client.get(RUNS, headers=issue(core, Role.VIEWER, "acme"))
            assert answer.status_code == status
        assert check(answer, 429, "RATE_LIMITED")["details"] == {"limited": "tenant"}
        assert (await client.get(RUNS, headers=issue(core, Role.VIEWER, "other"))).status_code == 200


async def test_processes_share_a_rate_in_valkey(core: Core, valkey: ValkeyServer) -> None:
    rate = {"rate_limit_key": 0.01, "rate_limit_burst_seconds": 300.0}
    apps = [guarded(core, redis_url=valkey.url, redis_timeout_ms=5000, **rate) for _ in range(2)]
    headers = issue(core, Role.VIEWER)
    statuses = []
    for app in (*apps, *apps, *apps):
        async with connect(app) as client:
            statuses.append((await client.get(RUNS, headers=headers)).status_code)
    assert statuses == [200, 200, 200, 429, 429, 429]
    for app in apps:
        await app.served.authenticator.close()


def batch(size: int) -> dict[str, Any]:
    return {"runs": [{"workflowName": LINE.name}] * size}


async def test_a_batch_counts_as_its_runs(core: Core) -> None:
    await register(core, LINE)
    for limit in ("key", "tenant"):
        rate = {f"rate_limit_{limit}": 0.01, "rate_limit_burst_seconds": 1000.0}
        async with connect(guarded(core, **rate)) as client:
            headers = issue(core, Role.OPERATOR)
            assert (await client.post(f"{RUNS}:batch", json=batch(6), headers=headers)).status_code == 202
            before = core.log.last_position()
            answer = await client.post(f"{RUNS}:batch", json=batch(8), headers=headers)
            said = check(answer, 429, "RATE_LIMITED")
            assert said["details"] == {"limited": limit}
            assert "counts as 8" in said["message"]
            assert 450 < int(answer.headers["retry-after"]) <= 500  # 3 are left, 8 are needed
            assert core.log.last_position() == before
            for status in (202, 202, 202, 429):
                assert (await client.post(RUNS, json=batch(1)["runs"][0], headers=headers)).status_code == status


async def test_a_batch_larger_than_a_burst_is_taken_from_a_full_bucket_and_paid_later(core: Core) -> None:
    await register(core, LINE)
    async with connect(guarded(core, rate_limit_key=0.01, rate_limit_burst_seconds=300.0)) as client:
        headers = issue(core, Role.OPERATOR)
        assert (await client.post(f"{RUNS}:batch", json=batch(20), headers=headers)).status_code == 202
        answer = await client.get(RUNS, headers=headers)
        check(answer, 429, "RATE_LIMITED")
        assert 1700 < int(answer.headers["retry-after"]) <= 1800


async def test_processes_share_what_batches_took(core: Core, valkey: ValkeyServer) -> None:
    await register(core, LINE)
    rate = {"rate_limit_tenant": 0.01, "rate_limit_burst_seconds": 1000.0}
    one, other = (guarded(core, redis_url=valkey.url, redis_timeout_ms=5000, **rate) for _ in range(2))
    headers = issue(core, Role.OPERATOR)
    async with connect(one) as client:
        assert (await client.post(f"{RUNS}:batch", json=batch(9), headers=headers)).status_code == 202
    async with connect(other) as client:
        check(await client.post(f"{RUNS}:batch", json=batch(2), headers=headers), 429, "RATE_LIMITED")
    for app in (one, other):
        await app.served.authenticator.close()


async def test_a_batch_that_is_not_valid_counts_as_one(core: Core) -> None:
    async with connect(guarded(core, rate_limit_key=0.01, rate_limit_burst_seconds=300.0)) as client:
        headers = issue(core, Role.OPERATOR)
        for status in (400, 400, 400, 429):
            answer = await client.post(f"{RUNS}:batch", json={"runs": [{}] * 100}, headers=headers)
            assert answer.status_code == status


async def test_without_a_setting_there_is_no_limit(core: Core) -> None:
    async with connect(guarded(core)) as client:
        headers = issue(core, Role.VIEWER)
        assert {(await client.get(RUNS, headers=headers)).status_code for _ in range(50)} == {200}
