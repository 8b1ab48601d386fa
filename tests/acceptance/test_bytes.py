"""Files from step to step on the real program: made in Python, sent to a service and back, read as stream and file."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.world.programs import call

PYTHON = """
from hashlib import sha256
from orchestrator import skill

@skill("files.make")
def make(given, ctx):
    ctx.artifact(b"abc" * given["times"], "text/plain", "letters.txt")

@skill("files.read")
def read(given, ctx):
    with ctx.open_artifact(given["file"]) as stream:
        size = sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 16), b""))
    path = ctx.artifact_path(given["file"])
    return {"size": size, "name": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}
"""
WORKFLOW = """
workflowName: files.v1
version: "1"
steps:
  - {stepId: make, skillId: files.make, input: {times: trigger.times}}
  - {stepId: shout, skillId: files.shout, dependsOn: [make], input: {letters: "steps.make.artifacts[0]"}}
  - {stepId: read, skillId: files.read, dependsOn: [shout], input: {file: "steps.shout.artifacts[0]"}}
"""


class Shouting(BaseHTTPRequestHandler):
    """A service that returns what it gets in capital letters, as a file."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).upper()
        self.send_response(200)
        self.send_header("Content-Type", "text/x-loud")
        self.send_header("Content-Disposition", 'attachment; filename="LETTERS.TXT"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shouting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_file_goes_through_a_service(
    database_url: str, home: Path, tmp_path: Path, service: str, executor: str
) -> None:
    (tmp_path / "files.py").write_text(PYTHON)
    (tmp_path / "files.yaml").write_text(WORKFLOW)
    declared = {"skillId": "files.shout", "kind": "http", "url": service, "body": {"artifact": "letters"}}
    (tmp_path / "services.yaml").write_text(json.dumps({"skills": [declared]}))
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    sources = ("--skills", tmp_path / "files.py", "--skills", tmp_path / "services.yaml", "--executor", executor)
    done = call("run", tmp_path / "files.yaml", "--payload", '{"times": 1000000}', *sources, "--json", env=env)
    assert done.code == 0, done.err
    run_id = done.document["id"]
    read = call("steps", run_id, "--data", "read", env=env).document
    (kept,) = call("artifacts", run_id, "--step", "shout", "--download", tmp_path / "made", "--json", env=env).document[
        "artifacts"
    ]
    assert (kept["type"], kept["filename"], kept["sizeBytes"]) == ("text/x-loud", "LETTERS.TXT", 3_000_000)
    assert read == {"size": 3_000_000, "name": "LETTERS.TXT", "sha256": kept["contentHash"]}
    assert Path(kept["path"]).read_bytes() == b"ABC" * 1_000_000
