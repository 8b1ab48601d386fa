"""What every answer carries: the id of its request, compression for those who accept it, leave for other origins."""

import asyncio
import gzip
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.app import Api, create_app
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.cli.logging import configure_logging
from orchestrator.settings import load_settings
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, finished, trigger
from tests.world.lines import LINE

STUDIO = "https://studio.example"


async def test_every_answer_names_its_request(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    paths = ["/health/live", "/metrics", RUNS, f"{RUNS}/nonsense", "/nowhere", "/openapi.json"]
    ids = [(await client.get(path)).headers["x-request-id"] for path in paths]
    ids.append((await client.post(RUNS, content=b"{")).headers["x-request-id"])
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("given", ["abc-123", "req:7/a_b.c+d=@e", "x" * 128])
async def test_the_callers_id_comes_back(client: httpx.AsyncClient, given: str) -> None:
    assert (await client.get("/health/live", headers={"X-Request-Id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", 'a"b', "ä"])
async def test_an_id_that_could_harm_a_log_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health/live", headers={"X-Request-Id": given.encode()})  # type: ignore[dict-item]
    assert answer.headers["x-request-id"] != given
    assert answer.headers["x-request-id"].isascii()


@contextmanager
def logged_as_json() -> Iterator[io.StringIO]:
    """The log of this process as its users see it."""
    root, written = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    try:
        with redirect_stderr(written):
            configure_logging(load_settings(log_format="json"))
            yield written
    finally:
        root.handlers[:] = before
        root.setLevel(level)


async def test_the_lines_of_a_request_carry_its_id(app: Api) -> None:
    async def broken(request: Request) -> Response:
        raise LookupError("on purpose")

    app.router.add_route("/broken", broken)
    with logged_as_json() as written:
        async with connect(app) as client:
            asking = (client.get("/broken", headers={"X-Request-Id": name}) for name in ("one", "two"))
            answers = await asyncio.gather(*asking)
            logging.getLogger("elsewhere").info("not within a request")
    assert [answer.status_code for answer in answers] == [500, 500]
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert sorted(line["request_id"] for line in lines if "failed" in line["message"]) == ["one", "two"]
    assert "request_id" not in lines[-1]


@pytest.fixture
async def shown(core: Core, client: httpx.AsyncClient) -> None:
    """Two hundred runs, in the read models."""
    await register(core, LINE)
    for _ in range(200):
        await trigger(client, triggerPayload={"text": "x" * 500})
    projector = build_projector(core)
    while projector.project_batch():
        pass


@pytest.mark.usefixtures("shown")
async def test_large_json_is_compressed_for_those_who_accept_it(client: httpx.AsyncClient) -> None:
    plain = await client.get(RUNS, headers={"Accept-Encoding": "identity"})
    packed = await client.get(RUNS, headers={"Accept-Encoding": "br;q=1.0, gzip;q=0.8"})
    assert len(plain.content) > 2048
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accepted", ["gzip;q=0", "gzip; q=0.000", "deflate, br", ""])
async def test_nobody_is_sent_what_they_refuse(client: httpx.AsyncClient, accepted: str) -> None:
    answer = await client.get("/openapi.json", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.json()["openapi"]


async def test_small_answers_streams_and_artifacts_stay_as_they_are(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client, triggerPayload={"text": "long " * 2000})
    artifact = (await client.get(f"{RUNS}/{run['id']}/artifacts")).json()["artifacts"][0]
    content = await client.get(f"/api/v1/artifacts/{artifact['id']}/content")
    assert content.headers["content-type"].startswith("text/plain")
    for answer in (
        content,
        await client.get("/health/live"),
        await client.get(f"{RUNS}/{run['id']}/events/stream"),
    ):
        assert answer.request.headers["accept-encoding"].startswith("gzip")
        assert "content-encoding" not in answer.headers


@pytest.mark.usefixtures("shown")
async def test_a_very_large_answer_is_what_it_was(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", f"{RUNS}?limit=200", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    document = json.loads(gzip.decompress(raw))
    assert len(document["runs"]) == 200
    assert len(gzip.decompress(raw)) > 65536


async def test_pages_of_other_origins_are_let_in_only_when_named(core: Core, client: httpx.AsyncClient) -> None:
    asked = {"Origin": STUDIO, "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await client.get(RUNS, headers=asked)).headers
    open_core = replace(core, settings=core.settings.model_copy(update={"cors_origins": (STUDIO,)}))
    async with connect(create_app(open_core, LIMITS)) as open_client:
        asking = {**asked, "Access-Control-Request-Headers": "authorization,idempotency-key,x-min-position"}
        leave = await open_client.options(RUNS, headers=asking)
        assert (leave.status_code, leave.headers["access-control-allow-origin"]) == (200, STUDIO)
        answer = await open_client.get(f"{RUNS}/nonsense", headers=asked)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, STUDIO)
        assert "X-Log-Position" in answer.headers["access-control-expose-headers"]
        other = await open_client.get(RUNS, headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_an_unchanged_run_or_definition_is_not_sent_again(core: Core, client: httpx.AsyncClient) -> None:
    run = await finished(core, client)
    for path in (f"{RUNS}/{run['id']}", f"{RUNS}/{run['id']}/steps", "/api/v1/workflows/test.line?version=1"):
        first = await client.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        tag = first.headers["etag"]
        for tags in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
            again = await client.get(path, headers={"If-None-Match": tags})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await client.get(path, headers={"If-None-Match": 'W/"other"'})).status_code == 200


async def test_a_run_that_goes_on_has_another_tag(core: Core, client: httpx.AsyncClient) -> None:
    await register(core, LINE)
    run_id = await trigger(client)
    queued = (await client.get(f"{RUNS}/{run_id}?at=1")).headers
    assert queued["cache-control"] == "private, max-age=86400, immutable"
    await client.post(f"{RUNS}/{run_id}/cancel")
    cancelled = (await client.get(f"{RUNS}/{run_id}?at=2")).headers
    assert cancelled["etag"] != queued["etag"]
