"""The app on a real server: what a transport in memory cannot show."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from tests.waiting import until
from tests.world.core import register
from tests.world.http import RUNS, serving, trigger
from tests.world.lines import LINE, SKILLS
from tests.world.work import at_work


@pytest.fixture
async def app(core: Core) -> Api:
    await register(core, LINE)
    return create_app(core, RequestLimits(deadline=1.0, heartbeat=0.3))


@pytest.fixture
async def port(app: Api) -> AsyncIterator[int]:
    async with serving(app) as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client


async def test_a_stream_lives_longer_than_the_deadline_and_ends_with_the_run(
    core: Core, app: Api, client: httpx.AsyncClient
) -> None:
    run_id = await trigger(client)
    types: list[str] = []
    beats = 0
    async with asyncio.timeout(30), client.stream("GET", f"{RUNS}/{run_id}/events/stream") as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            beats += line.startswith(":")
            if line.startswith("data: "):
                types.append(json.loads(line.removeprefix("data: "))["type"])
            if beats == 5:  # 1.5 s: the deadline of a request is over
                break
        async with at_work(core, SKILLS):
            rest = [line.removeprefix("data: ") async for line in lines if line.startswith("data: ")]
    types += [json.loads(line)["type"] for line in rest]
    assert types[0] == "RunTriggered"
    assert types[-1] == "RunCompleted"
    assert app.served.feed.watched == 0


async def test_a_watcher_that_goes_away_is_forgotten(app: Api, client: httpx.AsyncClient) -> None:
    run_id = await trigger(client)
    async with client.stream("GET", f"{RUNS}/{run_id}/events/stream") as answer:
        assert answer.status_code == 200
        await anext(answer.aiter_lines())
        assert app.served.feed.watched == 1
    await until(lambda: app.served.feed.watched == 0)


async def test_streams_end_when_the_server_does(app: Api) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=60))
        async with serving(app) as port:
            client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
            run_id = await trigger(client)
            answer = await stack.enter_async_context(client.stream("GET", f"{RUNS}/{run_id}/events/stream"))
            lines = answer.aiter_lines()
            first = await anext(lines)
        assert any("RunTriggered" in line for line in [first, *[line async for line in lines]])


async def say(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send bytes piece by piece and return what comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)  # the time itself is the subject: a client that is slow
            return await reader.read()
    finally:
        writer.close()


HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"workflowName": "test.line"}'


async def test_a_slow_body_has_a_deadline(core: Core, port: int) -> None:
    before = core.log.last_position()
    answer = await say(port, HEAD + b"Content-Length: 100\r\n\r\n", b"{", pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error":"REQUEST_TIMEOUT"' in answer
    assert core.log.last_position() == before


async def test_a_body_in_pieces_is_put_together(port: int) -> None:
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:5], BODY[5:12], BODY[12:])]
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = await say(port, head, *chunks, b"0\r\n\r\n", pause=0.05)
    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(port: int) -> None:
    answer = await say(port, HEAD + b"Content-Length: 2000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"error":"PAYLOAD_TOO_LARGE"' in answer


async def test_a_client_that_goes_away_in_the_middle_is_no_error(
    core: Core, port: int, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    before = core.log.last_position()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.1)  # nothing tells when: the server has read a part
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.2)  # the time itself is the subject: nothing is logged meanwhile
    assert (await client.get("/health/live")).status_code == 200
    assert core.log.last_position() == before
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_hundred_watchers_are_no_burden(core: Core, app: Api, port: int) -> None:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None, limits=limits) as client:
        runs = [await trigger(client) for _ in range(5)]
        watching = [asyncio.create_task(client.get(f"{RUNS}/{runs[n % 5]}/events/stream")) for n in range(100)]
        await until(lambda: app.served.feed.watched == 100)
        async with asyncio.timeout(30):
            assert (await client.get(f"{RUNS}/{runs[0]}")).status_code == 200
            for run_id in runs:
                await client.post(f"{RUNS}/{run_id}/cancel")
            answers = await asyncio.gather(*watching)
    assert all("RunCancelled" in answer.text for answer in answers)
