"""HTTP skills and bytes, against a real server: an artifact is sent, and a response that is not JSON becomes one."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.artifacts import ArtifactGone, ArtifactRejected, ArtifactStore
from orchestrator.domain.output import Output, artifact_to_json
from orchestrator.skills import DaemonThreads, HttpSkill, SkillCall, SkillError, StepContext, close_connections, perform
from orchestrator.skills.bodies import ArtifactBody, filename
from orchestrator.skills.declarations import read_declarations
from orchestrator.skills.errors import InvalidSkills

PICTURE = os.urandom(3_000_000)


class Echo(ThreadingHTTPServer):
    """Answers with the body of the request, or with `body`, and with the headers that a test asks for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "image/png"}
        self.body: bytes | None = None
        self.seen: list[tuple[dict[str, str], str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Echo

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), hashlib.sha256(body).hexdigest()))
        answer = body if self.server.body is None else self.server.body
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await close_connections()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store") if request.param == "file" else f"memory://{tmp_path.name}")


async def run(echo: Echo, store: ArtifactStore, given: Any, **options: Any) -> Output:
    call = SkillCall("run", "make/ü", 2, "acme", "test.bytes", given)
    skill = HttpSkill("test.bytes", echo.url, **options)
    return await perform(skill, call, StepContext.for_call(call, store), DaemonThreads())


async def refused(echo: Echo, store: ArtifactStore, given: Any, **options: Any) -> SkillError:
    with pytest.raises(SkillError) as caught:
        await run(echo, store, given, **options)
    assert caught.value.retryable is False
    return caught.value


class TestRequest:
    async def test_an_artifact_is_sent_and_another_comes_back(self, echo: Echo, store: ArtifactStore) -> None:
        made = store.put_bytes("acme", PICTURE, type="image/png", filename="bild ö.png")
        output = await run(echo, store, {"picture": artifact_to_json(made)}, body=ArtifactBody("picture"))
        ((headers, digest),) = echo.seen
        assert digest == made.content_hash
        assert {name: headers[name] for name in headers if name.startswith(("X-", "Content", "Idem"))} == {
            "Content-Type": "image/png",
            "Content-Length": str(len(PICTURE)),
            "Content-Disposition": "attachment; filename*=UTF-8''bild%20%C3%B6.png",
            "Idempotency-Key": StepContext("run", "make/ü").idempotency_key,
            "X-Orchestrator-Run-Id": "run",
            "X-Orchestrator-Step-Id": "make%2F%C3%BC",
            "X-Orchestrator-Attempt": "2",
            "X-Orchestrator-Tenant": "acme",
        }
        (kept,) = output.artifacts
        assert (kept.type, kept.content_hash, kept.size_bytes) == ("image/png", made.content_hash, len(PICTURE))
        assert output.data == {"contentType": "image/png", "filename": kept.filename, "sizeBytes": len(PICTURE)}

    async def test_the_declared_type_is_sent(self, echo: Echo, store: ArtifactStore) -> None:
        made = artifact_to_json(store.put_bytes("acme", b"x", type="no media type"))
        await run(echo, store, {"files": [made]}, body=ArtifactBody("files[0]"))
        await run(echo, store, {"files": [made]}, body=ArtifactBody("files[0]", "text/csv; charset=utf-8"))
        assert [headers["Content-Type"] for headers, _ in echo.seen] == [
            "application/octet-stream",
            "text/csv; charset=utf-8",
        ]

    @pytest.mark.parametrize(
        ("given", "words"),
        [({}, "'picture' picks nothing"), ([], "picks nothing"), ({"picture": {"id": 1}}, "not an artifact")],
    )
    async def test_an_input_without_the_artifact_is_refused(
        self, echo: Echo, store: ArtifactStore, given: Any, words: str
    ) -> None:
        error = await refused(echo, store, given, body=ArtifactBody("picture"))
        assert error.code == "SKILL_INPUT_INVALID"
        assert words in error.message
        assert echo.seen == []

    async def test_what_is_gone_or_belongs_to_others_is_not_sent(self, echo: Echo, tmp_path: Path) -> None:
        store = ArtifactStore(str(tmp_path / "store"))
        for tenant, kind in (("other", ArtifactRejected), ("acme", ArtifactGone)):
            made = store.put_bytes(tenant, b"x", type="x")
            path = store.local_path(made)
            assert path is not None
            if tenant == "acme":
                path.unlink()
            with pytest.raises(kind):
                await run(echo, store, {"picture": artifact_to_json(made)}, body=ArtifactBody("picture"))
        assert echo.seen == []

    async def test_altered_bytes_are_noticed_while_they_are_sent(self, echo: Echo, tmp_path: Path) -> None:
        store = ArtifactStore(str(tmp_path / "store"))
        made = store.put_bytes("acme", PICTURE, type="x")
        path = store.local_path(made)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(PICTURE[:-1] + bytes([PICTURE[-1] ^ 1]))
        with pytest.raises(ArtifactGone, match="altered"):
            await run(echo, store, {"picture": artifact_to_json(made)}, body=ArtifactBody("picture"))


class TestResponse:
    @pytest.mark.parametrize(
        ("headers", "type", "name"),
        [
            (
                {"Content-Type": "Audio/WAV", "Content-Disposition": 'attachment; filename="la la.wav"'},
                "audio/wav",
                "la la.wav",
            ),
            ({"Content-Type": "text/csv; charset=utf-8"}, "text/csv", "response.csv"),
            ({"Content-Type": "image/png", "Content-Disposition": 'x; filename="../../etc/p"'}, "image/png", "p"),
            ({"Content-Type": "no type at all"}, "application/octet-stream", "response.bin"),
            ({"Content-Type": "text/html"}, "text/html", "response.html"),
        ],
    )
    async def test_type_and_name_are_the_services(
        self, echo: Echo, store: ArtifactStore, headers: dict[str, str], type: str, name: str
    ) -> None:
        echo.headers, echo.body = headers, PICTURE
        output = await run(echo, store, {"a": 1})
        (made,) = output.artifacts
        assert (made.type, made.filename, store.read(made, "acme")) == (type, name, PICTURE)
        assert made.metadata == ({"contentType": headers["Content-Type"]} if ";" in headers["Content-Type"] else {})
        assert output.data == {"contentType": type, "filename": name, "sizeBytes": len(PICTURE)}

    async def test_an_empty_file_is_one(self, echo: Echo, store: ArtifactStore) -> None:
        echo.body = b""
        assert (await run(echo, store, {})).artifacts[0].size_bytes == 0

    @pytest.mark.parametrize("type", ["application/json", "application/problem+json; a=b", "text/plain", "text/html"])
    async def test_json_is_read_as_before(self, echo: Echo, store: ArtifactStore, type: str) -> None:
        echo.headers, echo.body = {"Content-Type": type}, b'{"data": 7}'
        assert await run(echo, store, {}) == Output(7)

    async def test_a_longer_one_is_cut_off(self, echo: Echo, store: ArtifactStore) -> None:
        echo.body = PICTURE
        assert len((await run(echo, store, {}, max_bytes=len(PICTURE))).artifacts) == 1
        error = await refused(echo, store, {}, max_bytes=len(PICTURE) - 1)
        assert error.code == "SKILL_OUTPUT_INVALID"
        assert "longer than 2999999 bytes; raise maxBytes" in error.message

    async def test_a_refusal_is_no_artifact(self, echo: Echo, store: ArtifactStore) -> None:
        echo.status, echo.body = 400, b"no such picture"
        error = await refused(echo, store, {})
        assert (error.code, error.details["body"]) == ("SKILL_EXECUTION_FAILED", "no such picture")

    async def test_the_loop_is_not_held_up(self, echo: Echo, tmp_path: Path) -> None:
        store = ArtifactStore(str(tmp_path / "store"))
        echo.body = PICTURE * 10
        running = asyncio.create_task(run(echo, store, {}))
        turns = 0
        while not running.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await running).artifacts[0].size_bytes == 30_000_000
        assert turns > 100


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("inline", None),
        ('attachment; filename="a.txt"', "a.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%B6.txt", "ö.txt"),
        ('attachment; filename="C:\\\\temp\\\\a.txt"', "a.txt"),
        ('attachment; filename=".."', None),
        ("attachment; filename*=UTF-8''a%00%0Ab", "a__b"),
        (f'attachment; filename="{"x" * 500}.txt"', "x" * 196 + ".txt"),
    ],
)
def test_the_name_of_a_response(given: str, expected: str | None) -> None:
    assert filename(given) == expected


def test_bodies_are_declared(tmp_path: Path) -> None:
    file = tmp_path / "skills.yaml"
    file.write_text(
        "skills:\n- {skillId: a, kind: http, url: 'http://a/', maxBytes: 7,"
        " body: {artifact: 'files[0]', contentType: image/png}}\n- {skillId: b, kind: http, url: 'http://b/'}\n"
    )
    a, b = read_declarations(file)
    assert isinstance(a, HttpSkill)
    assert isinstance(b, HttpSkill)
    assert (a.body, a.max_bytes) == (ArtifactBody("files[0]", "image/png"), 7)
    assert (b.body, b.max_bytes) == (None, 100 << 20)
    for body, words in (
        ("{artifact: 'files['}", "body.artifact: is not a selector over the input"),
        ("{artifact: a, contentType: png}", "body.contentType: 'png' is not a media type such as image/png"),
        ('{artifact: a, contentType: "a/b;\\n"}', "is not a media type"),
        ("{}", "body.artifact: Field required"),
        ("{artifact: a, text: b}", "body.text"),
        ("{artifact: a}, maxBytes: 0", "maxBytes"),
    ):
        file.write_text(f"skills: [{{skillId: a, kind: http, url: 'http://a/', body: {body}}}]")
        with pytest.raises(InvalidSkills) as caught:
            read_declarations(file)
        assert words in str(caught.value)
