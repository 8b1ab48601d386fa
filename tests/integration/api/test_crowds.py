"""Crowds: whoever shows no key, sends slowly or waits for somebody else takes no place from others."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator.access.identity import Role
from orchestrator.api.app import create_app
from orchestrator.api.incoming import IncomingBodies
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.settings import load_settings
from tests.integration.access.provider import AUDIENCE, ISSUER, jwk, provider, rsa_key, token
from tests.integration.api.test_authentication import issue
from tests.integration.api.test_overload import SQL
from tests.integration.api.test_protocol import BODY, POST, hasty
from tests.integration.api.test_tokens import bearer
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect
from tests.world.lines import LINE

PLACES = 10
CROWD = 30
RUN = {"workflowName": LINE.name}
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send_slowly(port: int, headers: dict[str, str], path: str = RUNS) -> Connection:
    """Begin to send a body, and leave it at that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    writer.write(POST.replace(RUNS.encode(), path.encode()) + more + b"Content-Length: %d\r\n\r\n" % len(BODY) + b"{")
    await writer.drain()
    return reader, writer


async def answers_of(crowd: list[Connection]) -> Counter[bytes]:
    """Count the answers that have come, by status; nothing for a body that is still arriving."""
    found: Counter[bytes] = Counter()
    for reader, _ in crowd:
        try:
            async with asyncio.timeout(0.05):
                found[(await reader.readexactly(12))[9:]] += 1
        except TimeoutError:
            found[b""] += 1
    return found


def close(crowd: list[Connection]) -> None:
    for _, writer in crowd:
        writer.close()


def crowded(core: Core, **settings: Any) -> Any:
    settings = {"auth": ("keys",), "max_requests": PLACES, **settings}
    return create_app(replace(core, settings=core.settings.model_copy(update=settings)), RequestLimits(deadline=60.0))


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}:batch", "/api/v1/workflows"])
async def test_slow_bodies_take_no_place(core: Core, path: str) -> None:
    await register(core, LINE)
    async with hasty(crowded(core, auth=())) as port:
        crowd = [await send_slowly(port, {}, path) for _ in range(CROWD)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for _ in range(PLACES):
                assert (await client.get(RUNS)).status_code == 200
                assert (await client.post(RUNS, json=RUN)).status_code == 202
        found = await answers_of(crowd)
        assert found[b"408"] >= CROWD - PLACES  # those that waited longest gave way
        assert set(found) <= {b"408", b""}
        close(crowd)


async def test_without_a_key_no_body_is_read(core: Core) -> None:
    async with hasty(crowded(core)) as port:
        crowd = [await send_slowly(port, headers) for headers in ({}, {"Authorization": "Bearer nonsense"}) * CROWD]
        async with asyncio.timeout(20):
            found = Counter([(await reader.readexactly(12))[9:] for reader, _ in crowd])
        assert set(found) <= {b"401", b"429"}
        close(crowd)


async def test_slow_bodies_of_one_tenant_do_not_push_out_those_of_another(core: Core) -> None:
    await register(core, LINE)
    app = crowded(core)
    async with hasty(app) as port:
        mine = await send_slowly(port, issue(core, Role.OPERATOR))
        acme = issue(core, Role.OPERATOR, "acme")
        crowd = [await send_slowly(port, acme) for _ in range(CROWD)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            assert (await client.post(RUNS, json=RUN, headers=issue(core, Role.OPERATOR))).status_code == 202
        mine[1].write(BODY[1:])
        async with asyncio.timeout(20):
            assert (await mine[0].readexactly(12)).endswith(b"202")
        close([mine, *crowd])


async def test_unfinished_bodies_hold_only_so_much_memory() -> None:
    class Slow:
        arrived = 0
        gone = False

        def __init__(self, tenant: str) -> None:
            self.tenant = tenant

        def abort(self) -> None:
            self.gone = True

    bodies = IncomingBodies(100, max_bytes=100)
    lonely, first, second = Slow("a"), Slow("b"), Slow("b")
    for one in (lonely, first, second):
        bodies.begin(one)
        bodies.grow(one, 30)
    bodies.grow(second, 30)
    assert [one.gone for one in (lonely, first, second)] == [False, True, False]
    bodies.end(lonely)
    bodies.end(second)
    assert (bodies._bytes, bodies._count, bodies._by_tenant) == (0, 0, {})


async def test_one_tenant_does_not_take_all_places(database_url: str, core: Core) -> None:
    for tenant in ("default", "acme"):
        await register(core, LINE, tenant=tenant)
    app = crowded(core)
    acme, other = issue(core, Role.OPERATOR, "acme"), issue(core, Role.OPERATOR)
    async with connect(app) as client:
        for headers in (acme, other):
            assert (await client.post(RUNS, json=RUN, headers=headers)).status_code == 202
        with psycopg.connect(database_url) as holder:
            holder.execute(SQL.hold_appends)  # nothing is committed meanwhile
            waiting = [asyncio.create_task(client.post(RUNS, json=RUN, headers=acme)) for _ in range(CROWD)]
            await until(lambda: sum(task.done() for task in waiting) >= CROWD - PLACES)
            refused = [task.result() for task in waiting if task.done()]
            assert {answer.json()["error"] for answer in refused} == {"OVERLOADED"}
            assert "of this tenant" in refused[0].json()["message"]
            assert (await client.get(RUNS, headers=acme)).status_code == 503
            assert (await client.get(RUNS, headers=other)).status_code == 200
        accepted = [answer for answer in await asyncio.gather(*waiting) if answer.status_code == 202]
        assert PLACES / 2 < len(accepted) < PLACES


async def test_who_waits_for_the_provider_keeps_nobody_else_waiting(core: Core, tmp_path: Path) -> None:
    key, unknown = rsa_key(), rsa_key()
    await register(core, LINE, tenant="acme")
    async with AsyncExitStack() as stack:
        served = stack.enter_context(provider())
        served.keys = [jwk("first", key)]
        settings = load_settings(
            database_url=core.settings.database_url,
            data_dir=tmp_path,
            max_requests=PLACES,
            auth=("oidc",),
            oidc_issuer=ISSUER,
            oidc_audience=AUDIENCE,
            oidc_jwks_url=served.url,
        )
        app = create_app(replace(core, settings=settings), LIMITS)
        client = await stack.enter_async_context(connect(app))
        verified = bearer(token(key))
        assert (await client.get(RUNS, headers=verified)).status_code == 200
        tokens = app.served.authenticator._tokens
        assert tokens is not None
        tokens._keys._asked_at -= 60  # as if the provider had been asked a minute ago
        served.hold.clear()
        strangers = [bearer(token(unknown, f"unknown {number}")) for number in range(300)]
        waiting = [asyncio.create_task(client.get(RUNS, headers=headers)) for headers in strangers]
        async with asyncio.timeout(3):  # the strangers wait for 5 s
            await until(lambda: served.asked == 2)
            for number in range(PLACES):
                assert (await client.get(RUNS, headers=verified)).status_code == 200
                new = bearer(token(key, sub=f"user {number}"))  # of a key that is known
                assert (await client.get(RUNS, headers=new)).status_code == 200
            refused = [task.result() for task in waiting if task.done()]
        assert len(refused) == 200
        assert {(answer.status_code, answer.json()["error"]) for answer in refused} == {(429, "TOO_MANY_ATTEMPTS")}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        served.hold.set()
        statuses = Counter(answer.status_code for answer in await asyncio.gather(*waiting))
        assert statuses == {401: 100, 429: 200}
        assert served.asked == 2
