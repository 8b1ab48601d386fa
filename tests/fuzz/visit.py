"""One round of schemathesis against a program that serves."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.folders import open_folder
from orchestrator.client import Client
from tests.acceptance.readme import write_example
from tests.world.programs import Program, call

# Every answer is one the document names, and fits what it says; what is wrong is refused; nothing is a fault of ours.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "wrong_is_refused",
    "one_shape",
)
_GENERATED = re.compile(r"(\d+) generated")


@dataclass(frozen=True)
class Round:
    """How a round went: how many requests were made, whether all was right, and what was said."""

    cases: int
    is_right: bool
    told: str


class Visit:
    """A program that serves, with some runs in it."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self._address = address
        self._shown = [] if key is None else ["--header", f"Authorization: Bearer {key}"]
        self._known = _populate(address, key)

    def round(self, seed: int, *options: str) -> Round:
        """Make requests, the same ones for the same seed."""
        words = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{self._address}/openapi.json",
            "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--seed", str(seed),
            "--request-timeout", "60", "--wait-for-schema", "60", "--suppress-health-check", "all",
            "--warnings", "off", "--continue-on-failure", *self._shown, *options,
        ]  # fmt: skip
        hooks = Path(__file__).with_name("hooks.py")
        env = {**os.environ, "SCHEMATHESIS_HOOKS": str(hooks), "FUZZ_KNOWN": json.dumps(self._known)}
        with open_folder() as folder:  # it leaves files where it is
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd=folder)
        counted = _GENERATED.search(done.stdout)
        return Round(int(counted[1]) if counted else 0, done.returncode == 0, done.stdout + done.stderr)


def _populate(address: str, key: str | None) -> dict[str, list[str]]:
    """Make some runs and return what there is by then."""
    with Client(address, key=key) as client:
        made = [client.trigger("hello.v1", {"name": name}, labels={"a": "b"})["runId"] for name in ("Ada", "Grace")]
        made.append(client.update(client.wait(made[0])["id"], "payload.patch", {"name": "Mary"})["runId"])
        made.append(client.trigger("hello.v1", {"name": "Eve"})["runId"])
        client.wait(made[2])
        doomed = [client.trigger("hello.v1", {"name": name})["runId"] for name in ("Mallory", "Trent")]
        for run in doomed:
            client.wait(run)
        artifacts = [artifact["id"] for artifact in client.artifacts(client.wait(made[1])["id"])]
    return {"runs": made, "doomed": doomed, "artifacts": artifacts, "workflows": ["hello.v1"]}


@contextmanager
def open_visit(*, with_auth: bool) -> Iterator[Visit]:
    """Serve the example of the README and yield a visit to it, as somebody who may do everything."""
    with open_folder() as home:
        write_example(home)
        data = ("--data-dir", home / "data")
        env = {"ORCHESTRATOR_LOG_LEVEL": "warning"}
        key = None
        if with_auth:
            made = call("keys", "create", "fuzz", "--role", "admin", "--json", *data)
            key = made.document["key"]
            # It shows wrong keys too, and must not be slowed for it.
            env |= {"ORCHESTRATOR_AUTH": "keys", "ORCHESTRATOR_AUTH_FAILURES": "1000000"}
        words = ("--port", "0", *data, "--workflows", home / "hello.yaml", "--skills", home / "hello.py")
        with Program("dev", *words, env=env) as program:
            yield Visit(program.ready(), key)
            assert program.stop() == 0
