"""What an audit cannot check is counted apart from what is wrong, in real processes."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.world.programs import FIXTURES, call

CLOSED = "http://127.0.0.1:9/closed"


class Inner(ThreadingHTTPServer):
    """A server of this machine, which counts who asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked = 0
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret"


class Asked(BaseHTTPRequestHandler):
    server: Inner

    def do_HEAD(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def inner() -> Iterator[Inner]:
    with Inner() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def register(env: dict[str, str], *uris: str) -> None:
    payload = json.dumps({"uris": list(uris)})
    done = call("run", FIXTURES / "naming.yaml", "--skills", FIXTURES / "naming.py", "--payload", payload, env=env)
    assert done.code == 0, done.err


def audit(env: dict[str, str], *words: str) -> tuple[int, dict[str, Any]]:
    done = call("audit", "verify", "--json", *words, env=env)
    return done.code, done.document


def test_what_cannot_be_checked_is_not_wrong(env: dict[str, str], inner: Inner) -> None:
    register(env, inner.url, CLOSED, "http://169.254.169.254/latest/meta-data/")
    code, said = audit(env)
    assert (code, said["verified"], said["findings"]) == (0, True, [])
    assert len(said["unchecked"]) == 3
    assert inner.asked == 0
    assert audit(env, "--strict")[0] == 1
    told = call("audit", "verify", env=env)
    assert told.code == 0
    assert "verified: no findings" in told.out
    assert "3 not checked" in told.out
    assert "169.254.169.254, which is not a public address" in told.out.replace("\n", " ")


def test_what_may_be_asked_for_is(env: dict[str, str], inner: Inner) -> None:
    register(env, inner.url, CLOSED)
    env["ORCHESTRATOR_ARTIFACT_NETWORKS"] = "127.0.0.0/8"
    code, said = audit(env)
    assert (code, inner.asked) == (0, 1)
    (unchecked,) = said["unchecked"]
    assert "unreachable" in unchecked["message"]
    inner.status = 404
    code, said = audit(env)
    assert (code, said["verified"], len(said["findings"]), len(said["unchecked"])) == (1, False, 1, 1)
    assert "HEAD returned 404" in said["findings"][0]["message"]


def test_networks_that_are_none_are_refused(env: dict[str, str]) -> None:
    done = call("audit", "verify", env={**env, "ORCHESTRATOR_ARTIFACT_NETWORKS": "10.0.0.0/8,intranet"})
    assert done.code == 1
    assert "ORCHESTRATOR_ARTIFACT_NETWORKS" in done.err
    assert "intranet" in done.err
