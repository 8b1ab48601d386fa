"""Keys and slow clients at the real program, and secrets nowhere in what it writes."""

import json
import re
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from orchestrator.client import Client
from orchestrator.client.errors import NotAuthenticated
from orchestrator.postgres.embedded import EmbeddedPostgres
from tests.acceptance.test_cli import refused
from tests.acceptance.test_figures import address
from tests.waiting import eventually
from tests.world.programs import FIXTURES, ROOT, Program, call

CHAIN = FIXTURES / "chain.yaml"


def ready(program: Program) -> str:
    """The address of a server, once it accepts requests."""
    eventually(lambda: "ready http://" in program.out, shows=lambda: program.err)
    return program.out.split("ready ", 1)[1].split()[0]


def create(home: Path, *words: str) -> str:
    shown: str = call("keys", "create", *words, "--json", "--data-dir", home).document["key"]
    return shown


def test_keys_of_the_command_line_open_the_server_and_are_written_nowhere(home: Path, programs: ExitStack) -> None:
    key = create(home, "bot", "--role", "operator", "--expires", "1d")
    wrong = "ork_aaaaaaaa_" + "5ec7e7" * 10 + "beef"
    env = {"ORCHESTRATOR_AUTH": "keys", "ORCHESTRATOR_LOG_LEVEL": "debug"}
    words = ("dev", "--host", "0.0.0.0", "--port", "0", "--data-dir", home, "--workflows", CHAIN)
    skills = ("--skills", FIXTURES / "links.py")
    program = programs.enter_context(Program(*words, *skills, env=env))
    url = ready(program).replace("0.0.0.0", "127.0.0.1")
    answers: list[httpx.Response] = []
    with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as client:
        right, bad = {"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {wrong}"}
        answers.append(client.get("/runs"))
        answers.append(client.get("/runs", headers=bad))
        answers.append(
            client.post("/runs", content=f'{{"{wrong}": 1', headers={**right, "Content-Type": "application/json"})
        )
        answers.append(client.post("/runs", json={"workflowName": "none"}, headers=right))
        answers.append(client.get("/runs", headers=right))
        answers.append(client.get("/health/queues", headers=right))
        accepted = client.post("/workflows", content=b"{", headers={**right, "Content-Type": "application/json"})
        answers.append(accepted)
        listed = call("keys", "list", "--data-dir", home)
        revoked = call("keys", "revoke", key.rsplit("_", 1)[0], "--json", "--data-dir", home)
        assert revoked.document["state"] == "revoked"
        eventually(lambda: client.get("/runs", headers=right).status_code == 401, shows=lambda: program.err)
        answers.append(client.get("/runs", headers=right))
    assert [answer.status_code for answer in answers] == [401, 401, 400, 404, 200, 200, 400, 401]
    program.stop()

    with EmbeddedPostgres(home) as server, psycopg.connect(server.conninfo()) as connection:
        rows = [
            str(row)
            for table in ("events", "keys", "runs")
            for row in connection.execute(f"SELECT t::text FROM orchestrator.{table} AS t")  # type: ignore[arg-type]
        ]
        hashes = connection.execute("SELECT encode(hash, 'hex') FROM orchestrator.keys").fetchall()
    written = [program.out, program.err, listed.out, listed.err, revoked.out, revoked.err, *rows]
    written += [answer.text + json.dumps(dict(answer.headers)) for answer in answers]
    written += [file.read_text(encoding="utf-8", errors="replace") for file in home.rglob("*.log")]
    assert [text for text in written if key.rsplit("_", 1)[1] in text or wrong[13:] in text] == []
    assert not any(hashed[0] in program.err + listed.out for hashed in hashes)
    assert key.split("_")[1] in listed.out


def test_whoever_follows_a_run_stops_when_the_key_is_revoked(home: Path, programs: ExitStack) -> None:
    key, other = create(home, "watcher", "--role", "operator"), create(home, "other", "--role", "operator")
    words = ("api", "--port", "0", "--data-dir", home, "--workflows", CHAIN)
    program = programs.enter_context(Program(*words, env={"ORCHESTRATOR_AUTH": "keys"}))
    url = ready(program)
    with Client(url, key=key) as client, Client(url, key=other) as observer:
        run_id = client.trigger("chain.v1", {"file": "none"})["runId"]
        events = client.events(run_id)
        assert next(events)["type"] == "RunTriggered"
        assert observer.run(run_id)["status"] == "queued"
        call("keys", "revoke", key.rsplit("_", 1)[0], "--data-dir", home)
        with pytest.raises(NotAuthenticated, match="revoked"):
            next(events)
        assert observer.run(run_id)["status"] == "queued"
    program.stop()


def test_without_keys_nobody_else_gets_in_and_it_is_said(home: Path, programs: ExitStack) -> None:
    said = refused(call("api", "--host", "0.0.0.0", "--port", "0", "--data-dir", home))
    assert "Refusing to listen on" in said
    assert "ORCHESTRATOR_AUTH=keys" in said
    program = programs.enter_context(Program("api", "--port", "0", "--data-dir", home))
    assert ready(program).startswith("http://127.0.0.1:")
    eventually(lambda: "authentication is off: only this machine" in program.err, shows=lambda: program.err)


def test_what_users_get_wrong_with_keys(home: Path) -> None:
    assert "Unknown role 'boss'" in refused(call("keys", "create", "x", "--role", "boss", "--data-dir", home))
    assert "Invalid age" in refused(call("keys", "create", "x", "--expires", "soon", "--data-dir", home))
    assert "name" in refused(call("keys", "create", "", "--data-dir", home))
    assert "ORCHESTRATOR_TENANT" in refused(call("keys", "create", "x", "--tenant", "a/b", "--data-dir", home))
    create(home, "x")
    assert "Unknown key 'zzzzzzzz'" in refused(call("keys", "revoke", "zzzzzzzz", "--data-dir", home))
    assert "neither" in refused(call("keys", "revoke", "x", "--data-dir", home))


def test_who_sends_no_request_is_not_waited_for(home: Path, programs: ExitStack) -> None:
    program = programs.enter_context(Program("api", "--port", "0", "--data-dir", home))
    port = int(ready(program).rsplit(":", 1)[1])
    begun = time.monotonic()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    sockets[1].sendall(b"GET /health/live HTT")
    sockets[2].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    first = b""
    while not first.endswith(b'{"status":"live"}'):
        first += sockets[2].recv(65536)
    sockets[2].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    for connection in sockets:
        connection.settimeout(60)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b'"error":"REQUEST_TIMEOUT"' in answer
        connection.close()
    assert time.monotonic() - begun > 5.0
    assert httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=30).status_code == 200


@pytest.mark.parametrize("verb", ["api", "projector"])
def test_whoever_sends_without_end_takes_neither_memory_nor_places(home: Path, programs: ExitStack, verb: str) -> None:
    env = {"ORCHESTRATOR_MAX_CONNECTIONS": "100", "ORCHESTRATOR_LOG_LEVEL": "info"}
    option = "--port" if verb == "api" else "--metrics-port"
    program = programs.enter_context(Program(verb, option, "0", "--data-dir", home, env=env))
    program.ready()
    url = ready(program) if verb == "api" else address(program).removesuffix("/metrics")
    port = int(url.rsplit(":", 1)[1])
    assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
    before = psutil.Process(program.process.pid).memory_info().rss
    for beginning in (b"GET /", b"GET /health/live HTTP/1.1\r\nX: ", b"GET /health/live HTTP/1.1\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(60)
            with suppress(ConnectionError):
                connection.sendall(beginning)
                for _ in range(100):
                    connection.sendall(b"x: y\r\n" * 200_000)
                pytest.fail("the server took 120 MB of a head")
    crowd = []
    for number in range(300):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n"[: 20 + number % 40])
        crowd.append(connection)
    for _ in range(5):
        assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
    assert psutil.Process(program.process.pid).memory_info().rss - before < 20 << 20
    for connection in crowd:
        connection.close()
    assert program.stop() == 0


def test_the_key_is_alone_on_stdout(home: Path) -> None:
    made = call("keys", "create", "bot", "--data-dir", home)
    assert re.fullmatch(r"ork_[a-z0-9]{8}_[0-9a-f]{64}\n", made.out)
    assert "It is not shown again" in made.err
    assert made.out.strip() not in made.err
    in_json = call("keys", "create", "other", "--data-dir", home, "--json")
    assert in_json.document["key"].startswith(in_json.document["prefix"].removesuffix("..."))
    assert in_json.err == ""


def test_a_name_stands_for_one_valid_key_of_a_tenant(home: Path) -> None:
    first = call("keys", "create", "bot", "--data-dir", home, "--json").document
    assert f"`orchestrator keys revoke {first['id']}`" in refused(call("keys", "create", "bot", "--data-dir", home))
    assert call("keys", "create", "bot", "--tenant", "other", "--data-dir", home).code == 0
    assert call("keys", "revoke", first["id"], "--data-dir", home).code == 0
    assert call("keys", "create", "bot", "--expires", "0.001s", "--data-dir", home).code == 0
    assert call("keys", "create", "bot", "--data-dir", home).code == 0, (
        "neither a revoked nor an expired key has a name"
    )
    assert len(call("keys", "list", "--data-dir", home, "--json").document["keys"]) == 4


def test_what_holds_secrets_is_not_committed() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", ".env", ".env.example"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ignored.returncode == 128:  # an unpacked archive, without its repository
        assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    else:
        assert ignored.stdout.split() == [".env"]
