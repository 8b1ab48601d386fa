"""Web pages that the user of an open server has open: none of another origin reads or changes anything."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.settings import SettingsError, load_settings
from tests.integration.api.test_authentication import guarded
from tests.integration.api.test_errors import check
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect
from tests.world.lines import LINE

JSON = b'{"workflowName": "test.line"}'
PATHS = [RUNS, "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/nowhere"]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.nip.io",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1:8000@evil.example",
    "localhost:8000:1",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "10.0.0.1",
    "[::2]:8000",
    "[::ffff:10.0.0.1]",
    "localhost, evil.example",
    "loc alhost",
    "evillocalhost",
    "evil-localhost:8000",
    "localhost." + "x" * 300,
    ".",
    "",
]
OUR_HOSTS = [
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "localhost.:8000",
    "127.0.0.1",
    "127.8.9.10:1",
    "[::1]:8000",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "api.localhost",
]
FOREIGN_PAGES: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "file://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "invented"},
]


@pytest.fixture
async def client(core: Core, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await register(core, LINE)
    return client


async def attempts(client: httpx.AsyncClient, headers: Any) -> list[httpx.Response]:
    """Everything a page could try."""
    kinds: list[dict[str, str]] = [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}]
    given = list(headers.items()) if isinstance(headers, dict) else list(headers)
    answers = [await client.post(RUNS, content=JSON, headers=[*given, *kind.items()]) for kind in kinds]
    answers += [await client.get(path, headers=given) for path in PATHS]
    answers.append(await client.get(f"{RUNS}/018f3c2e-0000-7000-8000-000000000001/events/stream", headers=given))
    answers.append(await client.request("OPTIONS", RUNS, headers=[*given, ("Access-Control-Request-Method", "POST")]))
    return answers


async def test_a_name_that_is_not_ours_is_answered_by_nobody(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    before = core.log.last_position()
    for host in FOREIGN_HOSTS:
        with subtests.test(host):
            for answer in await attempts(client, {"Host": host}):
                assert "Host" in check(answer, 421, "HOST_NOT_ALLOWED")["message"]
    with subtests.test("two names"):
        for answer in await attempts(client, [("Host", "localhost"), ("Host", "evil.example")]):
            check(answer, 421, "HOST_NOT_ALLOWED")
    assert core.log.last_position() == before


async def test_our_names_are_answered(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for host in OUR_HOSTS:
        with subtests.test(host):
            assert (await client.get(RUNS, headers={"Host": host})).status_code == 200


async def test_pages_of_other_origins_reach_nothing(
    core: Core, client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    before = core.log.last_position()
    for headers in FOREIGN_PAGES:
        with subtests.test(str(headers)):
            for answer in await attempts(client, headers):
                check(answer, 403, "ORIGIN_NOT_ALLOWED")
    assert core.log.last_position() == before


async def test_our_own_pages_and_links_to_them_work(client: httpx.AsyncClient) -> None:
    body = {"workflowName": "test.line"}
    for host, origin in (
        ("localhost", "http://localhost"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost:443", "https://localhost"),
    ):
        headers = {"Host": host, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert (await client.post(RUNS, json=body, headers=headers)).status_code == 202
    for headers in (
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ):
        assert (await client.get(RUNS, headers=headers)).status_code == 200
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    check(await client.post(RUNS, json=body, headers=linked), 403, "ORIGIN_NOT_ALLOWED")


async def test_hosts_and_origins_can_be_allowed(core: Core) -> None:
    allowed = {"allowed_hosts": ("Studio.example",), "cors_origins": ("https://app.example",)}
    settings = core.settings.model_copy(update=allowed)
    async with connect(create_app(replace(core, settings=settings), LIMITS)) as client:
        for headers in (
            {"Host": "studio.example:8000"},
            {"Host": "STUDIO.EXAMPLE"},
            {"Origin": "https://app.example"},
            {"Host": "studio.example", "Origin": "https://studio.example"},
        ):
            assert (await client.get(RUNS, headers=headers)).status_code == 200, headers
        check(await client.get(RUNS, headers={"Host": "other.studio.example"}), 421, "HOST_NOT_ALLOWED")
        check(await client.get(RUNS, headers={"Origin": "http://app.example"}), 403, "ORIGIN_NOT_ALLOWED")


async def test_with_authentication_the_key_decides(core: Core) -> None:
    async with connect(guarded(core)) as client:
        for headers in ({"Host": "api.example"}, {"Origin": "https://evil.example"}):
            assert (await client.get("/health/live", headers=headers)).status_code == 200
            check(await client.get(RUNS, headers=headers), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a.example/b", "*", "a b"])
def test_an_allowed_host_is_a_name(name: str) -> None:
    with pytest.raises(SettingsError, match="ORCHESTRATOR_ALLOWED_HOSTS"):
        load_settings(allowed_hosts=(name,))


async def test_a_body_says_what_it_is(client: httpx.AsyncClient) -> None:
    for path, body in ((RUNS, JSON), ("/api/v1/workflows", b"{}")):
        said = check(await client.post(path, content=body), 415, "UNSUPPORTED_MEDIA_TYPE")["message"]
        assert "the request has no Content-Type" in said
        twice = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
        check(await client.post(path, content=body, headers=twice), 415, "UNSUPPORTED_MEDIA_TYPE")
