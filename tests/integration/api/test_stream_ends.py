"""Streams end with the credentials that opened them."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from starlette.types import Message, Receive, Scope, Send

from orchestrator.access.identity import Role
from orchestrator.api.app import Api, create_app
from orchestrator.application.core import Core
from orchestrator.settings import load_settings
from tests.integration.access.provider import AUDIENCE, ISSUER, jwk, provider, rsa_key, token
from tests.integration.api.test_authentication import guarded, issue
from tests.integration.api.test_history import read_messages
from tests.integration.api.test_tokens import bearer
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import LINE


async def watch(app: Api, url: str, headers: dict[str, str]) -> "asyncio.Task[httpx.Response]":
    """Open a stream of a run that waits, see its first message sent, and return its end."""
    begun = asyncio.Event()

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            await send(message)
            if message.get("body"):
                begun.set()

        await app(scope, receive, note)

    async def read() -> httpx.Response:
        async with connect(noted) as client:
            return await client.get(url, headers=headers)

    watching = asyncio.create_task(read())
    await until(begun.is_set, what="the stream has begun")
    return watching


async def last_message(watching: "asyncio.Task[httpx.Response]") -> dict[str, Any]:
    """The error in the last message of a stream, which has no id, so that nobody continues after it."""
    async with asyncio.timeout(20):
        answer = await watching
    assert answer.status_code == 200
    messages = [message async for message in read_messages(answer)]
    assert [message["event"] for message in messages if "event" in message] in (
        ["RunTriggered", "StreamEnded"],
        ["StreamEnded"],  # the key had changed before the first event was sent
    )
    assert "id" not in messages[-1]
    said: dict[str, Any] = json.loads(messages[-1]["data"])
    assert said.keys() == {"error", "message", "details"}
    return said


async def test_a_stream_ends_when_its_key_is_revoked_and_no_other(core: Core) -> None:
    await register(core, LINE)
    app = guarded(core)
    async with connect(app) as client:
        client.headers.update(issue(core, Role.OPERATOR))
        url = f"{RUNS}/{await trigger(client)}/events/stream"
        headers = issue(core, Role.VIEWER)
        ends = [await watch(app, url, headers) for _ in range(3)]
        stays = await watch(app, url, issue(core, Role.VIEWER))
        core.keys.revoke(headers["Authorization"].split("_")[1], 1)
        for watching in ends:
            said = await last_message(watching)
            assert (said["error"], said["message"]) == ("UNAUTHENTICATED", "the API key was revoked")
        assert (await client.get(url, headers=headers)).status_code == 401
        await client.post(url.replace("events/stream", "cancel"))
        async with asyncio.timeout(20):
            assert "RunCancelled" in (await stays).text


async def test_a_stream_ends_when_its_key_expires(core: Core) -> None:
    await register(core, LINE)
    app = guarded(core)
    async with connect(app) as client:
        client.headers.update(issue(core, Role.OPERATOR))
        url = f"{RUNS}/{await trigger(client)}/events/stream"
        ends_at = time.time_ns() // 1_000_000 + 1000
        watching = await watch(app, url, issue(core, Role.VIEWER, expires_at=ends_at))
        assert "expired" in (await last_message(watching))["message"]
        assert time.time_ns() // 1_000_000 >= ends_at


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE orchestrator.keys SET tenant = 'other' WHERE id = %s", "UNAUTHENTICATED"),
        ("UPDATE orchestrator.keys SET revoked_at = 1 WHERE id = %s", "UNAUTHENTICATED"),
        ("DELETE FROM orchestrator.keys WHERE id = %s", "UNAUTHENTICATED"),
    ],
)
async def test_a_stream_ends_when_its_key_becomes_another(
    core: Core, database_url: str, statement: str, code: str
) -> None:
    await register(core, LINE)
    app = guarded(core)
    async with connect(app) as client:
        client.headers.update(issue(core, Role.OPERATOR))
        url = f"{RUNS}/{await trigger(client)}/events/stream"
        headers = issue(core, Role.VIEWER)
        watching = await watch(app, url, headers)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(statement, (headers["Authorization"].split("_")[1],))  # type: ignore[arg-type]
        assert (await last_message(watching))["error"] == code


async def test_a_stream_ends_with_its_token_and_with_the_key_that_signed_it(core: Core) -> None:
    key = rsa_key()
    await register(core, LINE, tenant="acme")
    with provider() as served:
        served.keys = [jwk("first", key)]
        given = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks_url": served.url}
        settings = load_settings(database_url=core.settings.database_url, auth=("oidc",), **given)
        settings = settings.model_copy(update={"oidc_leeway_seconds": 0.0})
        app = create_app(replace(core, settings=settings), LIMITS)
        async with connect(app) as client:
            client.headers.update(bearer(token(key)))
            url = f"{RUNS}/{await trigger(client)}/events/stream"
            short = await watch(app, url, bearer(token(key, exp=time.time() + 2)))
            long = await watch(app, url, bearer(token(key)))
            assert "expired" in (await last_message(short))["message"]
            assert not long.done()
            served.keys = [jwk("second", rsa_key())]
            app.served.authenticator._tokens._keys._read_at -= 400  # as if 5 minutes had passed
            app.served.authenticator._tokens._keys._asked_at -= 400
            assert "key that the identity provider does not have" in (await last_message(long))["message"]


async def test_without_authentication_streams_stay(core: Core, app: Api) -> None:
    await register(core, LINE)
    async with connect(app) as client:
        url = f"{RUNS}/{await trigger(client)}/events/stream"
        watching = await watch(app, url, {})
        issue(core, Role.VIEWER)
        core.keys.revoke(core.keys.list()[0].id, 1)
        await asyncio.sleep(0)
        await client.post(url.replace("events/stream", "cancel"))
        async with asyncio.timeout(20):
            assert "RunCancelled" in (await watching).text
