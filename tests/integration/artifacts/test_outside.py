"""Artifacts kept elsewhere: HEAD decides, and a dead server does not hold up the others."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestrator.artifacts import ArtifactStore, verify, verify_all


class Files(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        match self.path:
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/there")
            case "/there":
                self.send_response(200)
                self.send_header("Content-Length", "10")
            case "/slow" | "/slow?0" | "/slow?1" | "/slow?2":
                time.sleep(0.6)
                self.send_response(404)
            case "/silent":
                time.sleep(6)
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
    return ArtifactStore(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "size", "reason"),
    [
        ("/there", 10, None),
        ("/there", -1, None),
        ("/moved", 10, None),
        ("/there", 11, "altered: size 10 instead of 11"),
        ("/absent", -1, "missing: HEAD answered 404"),
    ],
)
def test_status_and_length_decide(store: ArtifactStore, server: str, path: str, size: int, reason: str | None) -> None:
    assert verify(store, store.register_uri("acme", server + path, type="x", size_bytes=size)) == reason


def test_closed_port_is_out_of_reach(store: ArtifactStore) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as gone:
        port = gone.server_port
    made = store.register_uri("acme", f"http://127.0.0.1:{port}/x", type="x")
    assert (verify(store, made) or "").startswith("out of reach: ConnectError")


def test_silent_server_is_given_five_seconds(store: ArtifactStore, server: str) -> None:
    started = time.monotonic()
    assert "out of reach" in (verify(store, store.register_uri("acme", f"{server}/silent", type="x")) or "")
    assert 4 < time.monotonic() - started < 6


def test_batch_asks_side_by_side(store: ArtifactStore, server: str) -> None:
    there = store.register_uri("acme", f"{server}/there", type="x")
    slow = [store.register_uri("acme", f"{server}/slow?{n}", type="x") for n in range(3)]
    plain = [store.register_uri("acme", f"{server}/slow", type=f"x{n}") for n in range(4)]
    started = time.monotonic()
    faults = verify_all(store, [*plain, there, *slow])
    assert [artifact for artifact, _ in faults] == [*plain, *slow]
    assert time.monotonic() - started < 4
