"""Who asks too often is told when to come again; nobody else is."""

from orchestrator.access.identity import Role
from orchestrator.bootstrap.core import Core
from tests.integration.api.conftest import connect
from tests.integration.api.test_errors import check
from tests.integration.api.test_gate import guarded, issue
from tests.integration.api.world import RUNS
from tests.servers import ValkeyServer


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
        await app.served.gate.close()


async def test_without_a_setting_there_is_no_limit(core: Core) -> None:
    async with connect(guarded(core)) as client:
        headers = issue(core, Role.VIEWER)
        assert {(await client.get(RUNS, headers=headers)).status_code for _ in range(50)} == {200}
