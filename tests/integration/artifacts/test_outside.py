"""Artifacts kept elsewhere: HEAD decides, and a dead server does not hold up the others."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from orchestrator.artifacts import ArtifactStore, verify, verify_all
from orchestrator.artifacts.verify import examine


class Files(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_HEAD(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        match self.path:
            case "/inward":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/there")  # type: ignore[attr-defined]
            case "/file":
                self.send_response(307)
                self.send_header("Location", "file:///etc/passwd")
            case "/round":
                self.send_response(302)
                self.send_header("Location", "/round")
            case "/broken":
                self.send_response(503)
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/there")
            case "/there":
                self.send_response(200)
                self.send_header("Content-Length", "10")
            case "/slow" | "/slow?0" | "/slow?1" | "/slow?2":
                time.sleep(0.6)  # the time itself is the subject: a slow server
                self.send_response(404)
            case "/silent":
                time.sleep(6)  # the time itself is the subject: a silent server
                return
            case _:
                self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path), networks=["127.0.0.1"])


@pytest.mark.parametrize(
    ("path", "size", "reason"),
    [
        ("/there", 10, None),
        ("/there", -1, None),
        ("/moved", 10, None),
        ("/there", 11, "altered: size 10 instead of 11"),
        ("/absent", -1, "missing: HEAD returned 404"),
    ],
)
def test_status_and_length_decide(store: ArtifactStore, server: str, path: str, size: int, reason: str | None) -> None:
    assert verify(store, store.register_uri("acme", server + path, type="x", size_bytes=size)) == reason


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:{port}/there",
        "http://localhost:{port}/there",
        "http://2130706433:{port}/there",
        "http://0x7f.1:{port}/there",
        "http://0.0.0.0:{port}/there",
        "http://[::1]:{port}/there",
        "http://[::ffff:127.0.0.1]:{port}/there",
        "http://[64:ff9b::7f00:1]:{port}/there",
        "http://[2002:7f00:1::]:{port}/there",
        "http://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
    ],
)
def test_an_inner_address_is_not_asked_for(tmp_path: Path, server: str, uri: str) -> None:
    Files.asked.clear()
    store = ArtifactStore(str(tmp_path))
    made = store.register_uri("acme", uri.format(port=server.rpartition(":")[2]), type="x")
    (verdict,) = examine(store, [made])
    assert verdict is not None
    assert not verdict.checked
    assert "not a public address; to allow it, add its network to ORCHESTRATOR_ARTIFACT_NETWORKS" in verdict.reason
    assert Files.asked == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/inward", "127.0.0.2 resolves to 127.0.0.2, which is not a public address"),
        ("/file", "file:///etc/passwd is not an http or https URI"),
        ("/round", "more than 5 redirects"),
        ("/broken", "HEAD returned 503"),
    ],
)
def test_what_a_server_answers_may_leave_it_unchecked(
    store: ArtifactStore, server: str, path: str, reason: str
) -> None:
    Files.asked.clear()
    (verdict,) = examine(store, [store.register_uri("acme", server + path, type="x")])
    assert verdict is not None
    assert (verdict.checked, reason in verdict.reason) == (False, True), verdict
    assert all(asked == path for asked, _ in Files.asked)


def test_the_server_is_told_the_name_that_was_asked_for(tmp_path: Path, server: str) -> None:
    Files.asked.clear()
    store, port = ArtifactStore(str(tmp_path), networks=["127.0.0.0/8", "::1"]), server.rpartition(":")[2]
    if (reason := verify(store, store.register_uri("acme", f"http://localhost:{port}/there", type="x"))) is None:
        assert Files.asked == [("/there", f"localhost:{port}")]
    else:
        assert "ConnectError" in reason  # `localhost` is ::1 here, where this server does not listen
    assert verify(store, store.register_uri("acme", f"{server}/inward", type="x")) is not None


def test_a_wrong_length_is_wrong_for_that_artifact_only(store: ArtifactStore, server: str) -> None:
    made = [store.register_uri("acme", f"{server}/there", type=f"x{size}", size_bytes=size) for size in (10, 11, -1)]
    right, wrong, unknown = examine(store, made)
    assert (right, unknown) == (None, None)
    assert wrong is not None
    assert (wrong.checked, wrong.reason) == (True, "altered: size 10 instead of 11")


def test_a_server_that_does_not_answer_is_not_waited_for_again(store: ArtifactStore) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as gone:
        port = gone.server_port
    made = [store.register_uri("acme", f"http://127.0.0.1:{port}/{n}", type="x") for n in range(50)]
    verdicts = examine(store, made)
    assert {verdict is not None and verdict.checked for verdict in verdicts} == {False}
    assert any(verdict is not None and "did not answer an earlier request" in verdict.reason for verdict in verdicts)


def test_closed_port_is_out_of_reach(store: ArtifactStore) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as gone:
        port = gone.server_port
    made = store.register_uri("acme", f"http://127.0.0.1:{port}/x", type="x")
    assert (verify(store, made) or "").startswith("not checked: unreachable: ConnectError")


def test_silent_server_is_given_five_seconds(store: ArtifactStore, server: str) -> None:
    started = time.monotonic()
    assert "unreachable" in (verify(store, store.register_uri("acme", f"{server}/silent", type="x")) or "")
    assert 4 < time.monotonic() - started < 6


def test_batch_asks_side_by_side(store: ArtifactStore, server: str) -> None:
    there = store.register_uri("acme", f"{server}/there", type="x")
    slow = [store.register_uri("acme", f"{server}/slow?{n}", type="x") for n in range(3)]
    plain = [store.register_uri("acme", f"{server}/slow", type=f"x{n}") for n in range(4)]
    started = time.monotonic()
    faults = verify_all(store, [*plain, there, *slow])
    assert [artifact for artifact, _ in faults] == [*plain, *slow]
    assert time.monotonic() - started < 4
