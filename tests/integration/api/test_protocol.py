"""What goes wrong below HTTP requests: heads without end, slow clients, too many connections. On real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar

import pytest
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.app import Api, create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from orchestrator.cli.serving.connections import Connections
from orchestrator.cli.serving.protocol import BoundedProtocol
from tests.waiting import until
from tests.world.core import register
from tests.world.http import RUNS, serving
from tests.world.lines import LINE

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"workflowName": "test.line"}'
FOREVER = 64 << 20


class Hasty(BoundedProtocol):
    """Has the same bounds but less time."""

    HEAD_SECONDS: ClassVar = 1.0
    STALLED_SECONDS: ClassVar = 0.5
    UNREAD_BYTES: ClassVar = 100_000


class Patient(BoundedProtocol):
    """Bounds sizes alone."""

    HEAD_SECONDS: ClassVar = 600.0


hasty = partial(serving, protocol=Hasty)


@pytest.fixture
async def app(core: Core) -> Api:
    await register(core, LINE)
    return create_app(core, RequestLimits(deadline=3.0))


@pytest.fixture
async def port(app: Api) -> AsyncIterator[int]:
    async with hasty(app) as port:
        yield port


@pytest.fixture
async def patient(core: Core) -> AsyncIterator[int]:
    """The port of a server that bounds sizes alone: nothing ends because it takes too long."""
    await register(core, LINE)
    app = create_app(core, RequestLimits(deadline=600.0))
    async with serving(app, protocol=Patient) as port:
        yield port


async def talk(port: int, *pieces: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(30):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(30):
            return await reading
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def endless(port: int, head: bytes, piece: bytes) -> tuple[bytes, int]:
    """Send a piece again and again; returns what came, and how many bytes the server took until it had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read(65536))
    sent = 0
    try:
        async with asyncio.timeout(30):
            writer.write(head)
            while sent < FOREVER and not reading.done():
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
            return await reading, sent
    except ConnectionError:
        return b"", sent
    finally:
        reading.cancel()
        writer.close()


def error_in(answer: bytes, status: int) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in head.lower()
    return str(json.loads(body)["error"])


TOO_LARGE = [
    ("one header", LIVE + b"X: " + b"x" * 66_000 + b"\r\n\r\n"),
    ("a name", LIVE + b"x" * 66_000 + b": x\r\n\r\n"),
    ("many headers", LIVE + b"".join(b"X-%d: x\r\n" % n for n in range(201)) + b"\r\n"),
    ("large headers", LIVE + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1000) for n in range(70)) + b"\r\n"),
    ("the target", b"GET /health/live?" + b"x" * 66_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
]
ENDLESS = [
    ("a header", LIVE + b"X: ", b"x" * 10_000),
    ("headers", LIVE, b"X: x\r\n" * 1000),
    ("the target", b"GET /", b"x" * 10_000),
    ("a name", LIVE, b"x" * 10_000),
]


async def test_a_head_that_is_too_large_is_refused(port: int, subtests: pytest.Subtests) -> None:
    for what, head in TOO_LARGE:
        with subtests.test(what):
            assert error_in(await talk(port, head), 431) == "HEAD_TOO_LARGE"
    with subtests.test("just not too large"):
        head = LIVE + b"Connection: close\r\nX: " + b"x" * 65_000 + b"\r\n\r\n"
        assert (await talk(port, head)).startswith(b"HTTP/1.1 200 ")
    with subtests.test("each of several requests"):
        head = LIVE + b"X: " + b"x" * 60_000 + b"\r\n"
        answers = await talk(port, *[head + b"\r\n"] * 5, head + b"Connection: close\r\n\r\n")
        assert answers.count(b"HTTP/1.1 200 ") == 6


async def test_a_head_without_end_is_not_kept(patient: int, subtests: pytest.Subtests) -> None:
    for what, head, piece in ENDLESS:
        with subtests.test(what):
            answer, sent = await endless(patient, head, piece)
            assert sent < FOREVER / 4
            if answer:  # else the connection was reset while we were still sending
                assert error_in(answer, 431) == "HEAD_TOO_LARGE"


async def test_what_comes_with_a_body_is_bounded(core: Core, patient: int, subtests: pytest.Subtests) -> None:
    before = core.log.last_position()
    for what, piece in (
        ("chunk extensions", b"1;" + b"x" * 10_000 + b"\r\n \r\n"),
        ("one chunk extension", b"x" * 10_000),
        ("trailers", b"X: " + b"x" * 1000 + b"\r\n"),
        ("one trailer", b"x" * 10_000),
    ):
        with subtests.test(what):
            first = {"one chunk extension": b"1;", "trailers": b"0\r\n", "one trailer": b"0\r\nX: "}.get(what, b"")
            answer, sent = await endless(patient, CHUNKED + first, piece)
            assert sent < FOREVER / 4
            if answer:
                assert error_in(answer, 400) == "MALFORMED_REQUEST"
    assert core.log.last_position() == before


async def test_trailers_are_no_headers(port: int) -> None:
    chunks = b"%x\r\n%b\r\n0\r\nX-Request-Id: trailer\r\nConnection: keep-alive\r\n\r\n" % (len(BODY), BODY)
    answers = await talk(port, CHUNKED + chunks, LIVE + b"Connection: close\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 202 ")
    assert b"trailer" not in answers
    assert b'{"status":"live"}' in answers


async def test_a_body_in_single_bytes_is_no_attack(port: int) -> None:
    chunks = [b"1;a=b\r\n%c\r\n" % byte for byte in b" " * 20_000 + BODY]
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await talk(port, head + b"".join(chunks) + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_what_is_no_http_is_said_in_json(port: int, subtests: pytest.Subtests) -> None:
    for what in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELO x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with subtests.test(repr(what)):
            assert error_in(await talk(port, what), 400) == "MALFORMED_REQUEST"
    with subtests.test("two lengths"):
        head = POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert error_in(await talk(port, head), 400) == "MALFORMED_REQUEST"


async def test_the_host_of_an_absolute_target_counts(port: int, subtests: pytest.Subtests) -> None:
    end = b"Connection: close\r\n\r\n"
    for target, host, status in (
        (b"http://localhost/health/live", b"localhost", 200),
        (b"http://127.0.0.1:8000/health/live?", b"evil.example", 200),
        (b"http://[::1]:8000/health/live", b"evil.example", 200),
        (b"http://evil.example/health/live", b"localhost", 421),
        (b"http://localhost@evil.example/health/live", b"localhost", 421),
        (b"http://127.0.0.1.nip.io/health/live", b"127.0.0.1", 421),
        (b"http://localhost", b"localhost", 404),
    ):
        with subtests.test(target.decode()):
            answer = await talk(port, b"GET %b HTTP/1.1\r\nHost: %b\r\n%b" % (target, host, end))
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    with subtests.test("no host at all"):
        answer = await talk(port, b"GET /health/live HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 421 ")


async def test_who_is_slow_is_not_waited_for(port: int, subtests: pytest.Subtests) -> None:
    for what, sent in (
        ("nothing", b""),
        ("half a head", LIVE[:20]),
        ("only line ends", b"\r\n"),
        ("half of a second head", LIVE + b"\r\n" + LIVE[:20]),
    ):
        with subtests.test(what):
            answer = await talk(port, sent)
            assert answer.count(b"HTTP/1.1 200 ") == sent.count(b"live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"REQUEST_TIMEOUT" in answer
    with subtests.test("line ends after an answer"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVE + b"\r\n")
        async with asyncio.timeout(20):
            assert b"live" in await reader.readuntil(b"}")
            while not reader.at_eof():  # the server goes, though something comes all the time
                writer.write(b"\r\n")
                try:
                    async with asyncio.timeout(0.1):
                        await reader.read(1000)
                except TimeoutError:
                    pass
                except ConnectionError:
                    break
        writer.close()


async def test_a_body_that_nobody_reads_is_not_received_for_ever(port: int) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n"
    answer, sent = await endless(port, head, b"x" * 10_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
    assert sent < FOREVER / 4
    _, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send_on() -> None:
        writer.write(head)
        for _ in range(FOREVER // 10_000):
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with asyncio.timeout(30):
        with pytest.raises(ConnectionError):
            await send_on()
    writer.close()


async def test_the_rest_of_a_body_after_the_answer_leaves_the_connection_usable(port: int) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(20):
        writer.write(head)
        await reader.readuntil(b"}")
        writer.write(b"x" * 50_000)
        writer.write(LIVE + b"Connection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_pipelines_are_answered_in_order_and_have_an_end(port: int) -> None:
    some = [b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %d\r\n\r\n" % n for n in range(50)]
    answers = await talk(port, b"".join(some) + LIVE + b"Connection: close\r\n\r\n")
    assert [line.split()[1] for line in answers.split(b"\r\n") if line.startswith(b"x-request-id: ")][:50] == [
        b"%d" % n for n in range(50)
    ]
    assert len(await talk(port, (LIVE + b"\r\n") * 3000)) < 3000 * 100


async def test_a_client_that_does_not_read_is_cut_off(core: Core, app: Api) -> None:
    async def large(request: Request) -> Response:
        return Response(b"x" * 50_000_000)

    app.router.add_route("/large", large)
    connections = Connections(100)
    async with hasty(app, connections) as port:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(slow, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: connections.count == 1)
            await until(lambda: connections.count == 0)
            got = 0
            async with asyncio.timeout(20):
                try:
                    while chunk := await loop.sock_recv(slow, 1 << 20):
                        got += len(chunk)
                except ConnectionError:
                    pass
            assert got < 50_000_000
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # one that reads gets all of it
        writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = 0
        async with asyncio.timeout(60):
            while chunk := await reader.read(1 << 16):
                got += len(chunk)
        assert got > 50_000_000
        writer.close()


async def test_connections_that_wait_give_way_and_those_at_work_stay(core: Core, app: Api) -> None:
    async with hasty(app, Connections(20)) as port:
        watching = []
        async with asyncio.timeout(60):
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
                run_id = json.loads((await reader.readuntil(b"}")).partition(b"\r\n\r\n")[2])["runId"]
                writer.write(f"GET {RUNS}/{run_id}/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                await reader.readuntil(b"RunTriggered")
                watching.append((reader, writer))
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
            for _ in range(10):
                answer = await talk(port, LIVE + b"Connection: close\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert not any(reader.at_eof() for reader, _ in watching)
            assert app.served.feed.watched == 5
            for _, writer in (*idle, *watching):
                writer.close()


async def test_when_all_are_at_work_a_new_one_is_told_to_come_again(core: Core, app: Api) -> None:
    async with hasty(app, Connections(3)) as port, asyncio.timeout(60):
        watching = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
            run_id = json.loads((await reader.readuntil(b"}")).partition(b"\r\n\r\n")[2])["runId"]
            writer.write(f"GET {RUNS}/{run_id}/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await reader.readuntil(b"RunTriggered")
            watching.append(writer)
        answer = await talk(port)
        assert error_in(answer, 503) == "OVERLOADED"
        assert b"retry-after: 1" in answer
        watching.pop().close()
        await until(lambda: app.served.feed.watched == 2)
        assert (await talk(port, LIVE + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        for writer in watching:
            writer.close()
