"""Browsers sign in with a key or token, and hold a cookie that ends with it."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator.access.identity import Role
from orchestrator.access.session_store import MAX_SESSIONS, SESSION_SECONDS
from orchestrator.api.app import Api, create_app
from orchestrator.application.core import Core
from orchestrator.settings import load_settings
from tests.integration.access.provider import AUDIENCE, ISSUER, jwk, provider, rsa_key, token
from tests.integration.api.test_authentication import guarded, issue
from tests.integration.api.test_errors import check
from tests.integration.api.test_stream_ends import last_message, watch
from tests.integration.api.test_tokens import bearer
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import LINE

ME, SESSION = "/api/v1/me", "/api/v1/session"
HERE = {"Origin": "http://localhost"}
BODY = {"workflowName": "test.line"}


@pytest.fixture
async def browser(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    """Keeps cookies, as browsers do."""
    await register(core, LINE)
    async with connect(guarded(core)) as client:
        yield client


async def sign_in(browser: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    answer = await browser.post(SESSION, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


async def until_refused(browser: httpx.AsyncClient) -> httpx.Response:
    async def look() -> httpx.Response:
        return await browser.get(ME)

    return await until(look, what="the session is refused", right=lambda answer: answer.status_code == 401)


async def test_a_cookie_does_what_its_key_does(core: Core, browser: httpx.AsyncClient) -> None:
    answer = await sign_in(browser, issue(core, Role.OPERATOR))
    assert answer.json()["authentication"] == "session"
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("orchestrator_session=ors_")
    assert attributes[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert 0 <= SESSION_SECONDS - int(attributes[0].removeprefix("Max-Age=")) < 60
    assert (await browser.get(ME)).json() == answer.json()
    run_id = (await browser.post(RUNS, json=BODY, headers=HERE)).json()["runId"]
    (event,) = (await browser.get(f"{RUNS}/{run_id}/events")).json()["events"]
    assert event["actor"] == answer.json()["actor"]
    check(await browser.delete(f"{RUNS}/{run_id}?reason=x", headers=HERE), 403, "FORBIDDEN")


async def test_what_is_stored_opens_nothing(core: Core, browser: httpx.AsyncClient, database_url: str) -> None:
    shown = (await sign_in(browser, issue(core, Role.VIEWER))).cookies["orchestrator_session"]
    with psycopg.connect(database_url) as connection:
        ((row,),) = connection.execute("SELECT to_jsonb(s) FROM orchestrator.sessions AS s").fetchall()
    assert row["hash"] == "\\x" + sha256(shown.encode()).hexdigest()
    assert shown not in str(row)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:81", "https://localhost:80"])
async def test_pages_of_other_origins_change_nothing(
    core: Core, browser: httpx.AsyncClient, origin: str | None
) -> None:
    await sign_in(browser, issue(core, Role.ADMIN))
    headers = {} if origin is None else {"Origin": origin}
    for method, path, body in (("POST", RUNS, BODY), ("DELETE", SESSION, None)):
        said = check(await browser.request(method, path, json=body, headers=headers), 403, "ORIGIN_NOT_ALLOWED")
        assert (origin or "Origin") in said["message"]
    assert (await browser.get(RUNS, headers=headers)).json()["runs"] == []
    assert (await browser.post(RUNS, json=BODY, headers=HERE)).status_code == 202


async def test_a_key_needs_no_origin_even_beside_a_cookie(core: Core, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issue(core, Role.VIEWER))
    key = issue(core, Role.OPERATOR)
    assert (await browser.post(RUNS, json=BODY, headers=key)).status_code == 202
    assert (await browser.get(ME, headers=key)).json()["authentication"] == "key"
    check(await browser.get(ME, headers=bearer("ork_aaaaaaaa_" + "0" * 64)), 401, "UNAUTHENTICATED")


async def test_a_session_ends_with_its_key(core: Core, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issue(core, Role.ADMIN))
    assert (await browser.get(ME)).status_code == 200
    core.keys.revoke(core.keys.list()[0].id, 1)
    begun = time.monotonic()
    assert (await until_refused(browser)).json()["message"] == "the API key was revoked"
    assert time.monotonic() - begun < 5.0


async def test_a_session_does_not_outlive_its_key(core: Core, browser: httpx.AsyncClient) -> None:
    ends_at = time.time_ns() // 1_000_000 + 1500
    answer = await sign_in(browser, issue(core, Role.ADMIN, expires_at=ends_at))
    cookie = answer.headers["set-cookie"]
    assert int(cookie.split("Max-Age=")[1].split(";")[0]) <= 2
    headers = {"Cookie": cookie.partition(";")[0]}

    async def look() -> bool:
        return (await browser.get(ME, headers=headers)).status_code == 401

    await until(look)
    assert time.time_ns() // 1_000_000 >= ends_at


async def test_a_session_ends_at_its_time(core: Core, browser: httpx.AsyncClient, database_url: str) -> None:
    await sign_in(browser, issue(core, Role.VIEWER))
    assert (await browser.get(ME)).status_code == 200
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE orchestrator.sessions SET expires_at = 1")
    assert "sign in again" in (await until_refused(browser)).json()["message"]
    await sign_in(browser, issue(core, Role.VIEWER))  # which removes what has ended
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM orchestrator.sessions").fetchone() == (1,)


async def test_who_signs_out_is_out_in_every_process(core: Core, browser: httpx.AsyncClient) -> None:
    await sign_in(browser, issue(core, Role.VIEWER))
    async with connect(guarded(core)) as other:  # an app of its own, with its own memory
        other.cookies = browser.cookies
        held = browser.cookies["orchestrator_session"]
        assert (await other.get(ME)).status_code == 200
        answer = await browser.delete(SESSION, headers=HERE)
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        check(await browser.get(ME, headers={"Cookie": f"orchestrator_session={held}"}), 401, "UNAUTHENTICATED")
        other.cookies.set("orchestrator_session", held, domain="localhost.local")
        await until_refused(other)


async def test_a_stream_ends_with_the_session(core: Core) -> None:
    await register(core, LINE)
    app = guarded(core)
    async with connect(app) as browser:
        await sign_in(browser, issue(core, Role.OPERATOR))
        cookie = {"Cookie": f"orchestrator_session={browser.cookies['orchestrator_session']}"}
        browser.headers.update(HERE)
        watching = await watch(app, f"{RUNS}/{await trigger(browser)}/events/stream", cookie)
        assert (await browser.delete(SESSION)).status_code == 204
        assert "sign in again" in (await last_message(watching))["message"]


async def test_a_session_begins_with_a_key_only(core: Core, browser: httpx.AsyncClient) -> None:
    check(await browser.post(SESSION), 401, "UNAUTHENTICATED")
    await sign_in(browser, issue(core, Role.VIEWER))
    check(await browser.post(SESSION, headers=HERE), 401, "UNAUTHENTICATED")
    shown = browser.cookies["orchestrator_session"]
    browser.cookies.clear()
    check(await browser.get(ME, headers=bearer(shown)), 401, "UNAUTHENTICATED")  # it is for the cookie alone


async def test_cookies_that_are_no_sessions_are_refused_and_block_nobody(core: Core) -> None:
    async with connect(guarded(core, auth_failures=2)) as browser:
        for shown in ("", "x", "ors_" + "0" * 64, "ors_" + "é" * 64, "ork_aaaaaaaa_" + "0" * 64) * 2:
            cookie = f"other=1; orchestrator_session={shown}".encode()
            check(await browser.get(ME, headers=[(b"Cookie", cookie)]), 401, "UNAUTHENTICATED")


async def test_a_key_has_a_bounded_number_of_sessions(
    core: Core, browser: httpx.AsyncClient, database_url: str
) -> None:
    key = issue(core, Role.VIEWER)
    first = (await sign_in(browser, key)).cookies["orchestrator_session"]
    for _ in range(MAX_SESSIONS):
        await sign_in(browser, key)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM orchestrator.sessions").fetchone() == (MAX_SESSIONS,)
    assert (await browser.get(ME)).status_code == 200
    browser.cookies.clear()
    browser.headers["Cookie"] = f"orchestrator_session={first}"
    await until_refused(browser)


async def test_a_session_of_a_token_is_what_the_token_said(core: Core) -> None:
    key = rsa_key()
    with provider() as served:
        served.keys = [jwk("first", key)]
        given: Any = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks_url": served.url}
        settings = load_settings(database_url=core.settings.database_url, auth=("oidc",), **given)
        app = create_app(replace(core, settings=settings), LIMITS)
        async with connect(app) as browser:
            shown = bearer(token(key, roles=["viewer"]))
            before = (await browser.get(ME, headers=shown)).json()
            assert before["authentication"] == "token"
            await sign_in(browser, shown)
            after = (await browser.get(ME)).json()
            assert after == {**before, "authentication": "session"}  # and it ends with the token, not after 12 hours
        async with connect(guarded(core)) as other:  # where no tokens are accepted
            other.headers["Cookie"] = f"orchestrator_session={browser.cookies['orchestrator_session']}"
            check(await other.get(ME), 401, "UNAUTHENTICATED")


async def test_the_cookie_is_for_tls_and_for_the_folder_of_a_proxy(core: Core) -> None:
    app: Api = guarded(core)
    transport = httpx.ASGITransport(app, root_path="/flows")
    async with httpx.AsyncClient(transport=transport, base_url="https://flows.example") as browser:
        cookie = (await sign_in(browser, issue(core, Role.VIEWER))).headers["set-cookie"]
        assert cookie.endswith("Path=/flows; HttpOnly; SameSite=Strict; Secure")


async def test_without_authentication_nobody_needs_a_session(client: httpx.AsyncClient) -> None:
    answer = await client.post(SESSION)
    assert (answer.status_code, answer.json()["authentication"]) == (201, "off")
    assert "set-cookie" not in answer.headers
    assert (await client.delete(SESSION)).status_code == 204
