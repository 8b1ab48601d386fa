"""HTTP skills against a real server: what is sent, what is taken, what is tried again."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvloop

from orchestrator.artifacts import ArtifactRejected, ArtifactStore
from orchestrator.domain.output import Output
from orchestrator.skills import (
    DaemonThreads,
    HttpSkill,
    SkillCall,
    SkillError,
    StepContext,
    close_connections,
    perform,
)
from orchestrator.skills.connections import _MAX_IDLE_TENANTS, _pools
from orchestrator.skills.http import retry_after_ms
from tests.waiting import until


class Service(ThreadingHTTPServer):
    """Answers with whatever the test put into `answer`, and remembers the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.hold = threading.Event()
        self.hold.set()
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.connections: set[Any] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/make"

    def answer(self, document: Any, status: int = 200, **headers: str) -> None:
        self.status, self.body = status, json.dumps(document).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
        self.server.connections.add(self.client_address)
        self.server.hold.wait(30)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.hold.set()
        service.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await close_connections()


async def run(
    url: str,
    store: ArtifactStore | None = None,
    *,
    tenant: str = "acme",
    timeout_ms: int | None = None,
    trace: str | None = None,
    **options: Any,
) -> Output:
    call = SkillCall("run", "step", 2, tenant, "test.http", {"style": "ü"}, timeout_ms, trace)
    ctx = StepContext.for_call(call, store)
    return await perform(HttpSkill("test.http", url, **options), call, ctx, DaemonThreads())


async def run_again(service: Service) -> None:
    service.answer({"data": 7})
    await run(service.url)


async def failed(url: str, **options: Any) -> SkillError:
    with pytest.raises(SkillError) as caught:
        await run(url, **options)
    return caught.value


class TestRequest:
    async def test_the_trace_is_handed_on(self, service: Service) -> None:
        service.answer({"data": 7})
        context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await run(service.url, trace=context)
        await run(service.url)
        assert [headers.get("traceparent") for _, headers, _ in service.seen] == [context, None]

    async def test_input_context_and_key_are_sent(self, service: Service) -> None:
        service.answer({"data": 7})
        await run(service.url, headers={"X-Team": "art"})
        path, headers, body = service.seen[0]
        key = StepContext("run", "step").idempotency_key
        assert path == "/make"
        assert body == {
            "input": {"style": "ü"},
            "context": {
                "runId": "run",
                "stepId": "step",
                "attempt": 2,
                "tenant": "acme",
                "idempotencyKey": key,
            },
        }
        assert (headers["Idempotency-Key"], headers["X-Team"]) == (key, "art")
        assert headers["Content-Type"] == "application/json"

    async def test_no_cookie_is_sent_to_anybody(self, service: Service) -> None:
        service.answer({"data": 7}, Set_Cookie="session=secret; Path=/; Max-Age=3600")
        for tenant in ("acme", "acme", "other"):
            await run(service.url, tenant=tenant)
        service.answer({}, status=500, Set_Cookie="session=of-an-error")
        await failed(service.url)
        await run_again(service)
        assert [headers.get("Cookie") for _, headers, _ in service.seen] == [None] * 5

    async def test_a_cookie_that_a_skill_declares_is_sent(self, service: Service) -> None:
        service.answer({"data": 7}, Set_Cookie="session=secret")
        for _ in range(2):
            await run(service.url, headers={"Cookie": "team=art"})
        assert [headers.get("Cookie") for _, headers, _ in service.seen] == ["team=art"] * 2

    async def test_tenants_share_no_connection(self, service: Service) -> None:
        service.answer({"data": 7})
        for tenant in ("acme", "other", "acme", "other"):
            await run(service.url, tenant=tenant)
        assert len(service.connections) == 2

    async def test_many_tenants_keep_few_connections_open(self, service: Service) -> None:
        service.answer({"data": 7})
        for number in range(_MAX_IDLE_TENANTS + 5):
            await run(service.url, tenant=f"tenant-{number}")
        assert len(_pools[asyncio.get_running_loop()]) == _MAX_IDLE_TENANTS

    async def test_connections_are_shared(self, service: Service) -> None:
        service.answer({"data": 7})
        for _ in range(5):
            await run(service.url)
        assert len(service.connections) == 1


class TestAnswer:
    @pytest.mark.parametrize("data", [None, 7, "x", {"a": [1.5, None]}, []])
    async def test_data(self, service: Service, data: Any) -> None:
        service.answer({"data": data}, status=201)
        assert await run(service.url) == Output(data)

    async def test_no_content_is_an_empty_object(self, service: Service) -> None:
        service.status, service.body = 204, b""
        assert await run(service.url) == Output({})

    async def test_artifacts(self, service: Service, tmp_path: Path) -> None:
        one = {"uri": "https://cdn.test/a.png", "type": "image/png"}
        two = {
            "uri": "https://cdn.test/b.wav",
            "type": "audio/wav",
            "contentHash": "ab" * 32,
            "sizeBytes": 10,
            "filename": "b.wav",
            "metadata": {"bpm": 90},
        }
        service.answer({"data": {}, "artifacts": [one, two, one]})
        output = await run(service.url, ArtifactStore(str(tmp_path)))
        assert [made.uri for made in output.artifacts] == [one["uri"], two["uri"]]
        made = output.artifacts[1]
        assert (made.content_hash, made.size_bytes, made.filename, made.metadata) == (
            "ab" * 32,
            10,
            "b.wav",
            {"bpm": 90},
        )

    async def test_artifact_on_our_disk_is_refused(self, service: Service, tmp_path: Path) -> None:
        service.answer({"data": {}, "artifacts": [{"uri": "file:///etc/passwd", "type": "x"}]})
        with pytest.raises(ArtifactRejected, match="must be an absolute http"):
            await run(service.url, ArtifactStore(str(tmp_path)))

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"<html>", "not JSON"),
            (b"", "not JSON"),
            (b'{"data": NaN}', "not JSON"),
            (b'{"result": 1}', r"\$\.data: Field required"),
            (b"[]", "object"),
            (b'{"data": 9007199254740993}', r"\$\.data has no canonical"),
            (b'{"data": [{"n": 20000000000000000001}]}', r"\$\.data\[0\]\.n has no canonical"),
            (b'{"data": 1, "artifacts": [{"uri": "https://a/b"}]}', r"\$\.artifacts\[0\]\.type"),
        ],
    )
    async def test_other_answers_are_invalid(self, service: Service, body: bytes, words: str) -> None:
        service.body = body
        error = await failed(service.url)
        assert (error.code, error.retryable) == ("SKILL_OUTPUT_INVALID", False)
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(error.message)

    async def test_endless_answer_is_cut_off(self, service: Service) -> None:
        service.answer({"data": "x" * 10_000})
        error = await failed(service.url, max_response_bytes=5_000)
        assert (error.code, "longer than 5000 bytes" in error.message) == ("SKILL_OUTPUT_INVALID", True)


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "retryable"),
        [
            (301, False),
            (400, False),
            (401, False),
            (404, False),
            (409, False),
            (422, False),
            (408, True),
            (425, True),
            (429, True),
            (500, True),
            (502, True),
            (503, True),
            (504, True),
        ],
    )
    async def test_status_decides_about_another_attempt(self, service: Service, status: int, retryable: bool) -> None:
        service.answer({"error": "why"}, status=status, Retry_After="2", Location="/elsewhere")
        error = await failed(service.url)
        assert (error.code, error.retryable) == ("SKILL_EXECUTION_FAILED", retryable)
        assert error.details == {"status": status, "body": '{"error": "why"}'}
        assert error.retry_after_ms == (2000 if retryable else None)
        assert len(service.seen) == 1

    async def test_long_body_is_shortened(self, service: Service) -> None:
        service.answer("x" * 10_000, status=400)
        assert len((await failed(service.url)).details["body"]) == 2048

    async def test_closed_port_is_worth_another_attempt(self) -> None:
        with Service() as service:
            url = service.url
        error = await failed(url)
        assert (error.code, error.retryable) == ("SKILL_EXECUTION_FAILED", True)
        assert "cannot be reached: ConnectError" in error.message

    async def test_connection_cut_in_the_middle_is_worth_another_attempt(self) -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            error = await failed(f"http://127.0.0.1:{port}/")
        assert (error.code, error.retryable) == ("SKILL_EXECUTION_FAILED", True)


class TestTime:
    async def test_silent_service_is_out_of_time(self, service: Service) -> None:
        service.hold.clear()
        error = await failed(service.url, timeout_ms=200)
        assert (error.code, error.retryable) == ("SKILL_TIMEOUT", True)

    async def test_cancel_drops_the_request(self, service: Service) -> None:
        service.hold.clear()
        task = asyncio.create_task(run(service.url))
        await until(lambda: service.seen, 10, "the request has come")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        service.hold.set()
        service.answer({"data": 7})
        assert (await run(service.url)).data == 7


NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120_000),
        ("9" * 400, 24 * 3600 * 1000),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90_000),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0),
        ("Wed, 01 May 2024 12:00:05 -0000", 5_000),
        ("Wed, 99 May 2024 12:00:05 GMT", None),
    ],
)
async def test_retry_after_is_read(value: str | None, expected: int | None) -> None:
    assert retry_after_ms(value, NOW) == expected


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_answer_before_the_request_was_sent_is_taken(make_loop: Any) -> None:
    """A service may refuse a large input after its first bytes."""

    handling = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append(asyncio.current_task())
        await reader.readexactly(10)
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        writer.write_eof()
        while await reader.read(1 << 20):
            pass
        writer.close()
        await writer.wait_closed()

    async def scene() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            call = SkillCall("run", "step", 1, "acme", "test.http", {"text": "x" * 5_000_000})
            for _ in range(20):
                with pytest.raises(SkillError, match="responded with status 503") as caught:
                    await perform(HttpSkill("test.http", url), call, StepContext.for_call(call), DaemonThreads())
                assert caught.value.retry_after_ms == 7000
            await close_connections()
            await asyncio.gather(*filter(None, handling))

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(scene())
