"""Why a step failed is told by every verb that shows the run, not by `steps --json` alone."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.world.programs import call

PROGRAMS = {
    "exit": ("echo starting >&2; printf 'no such codec: \\033[31mopus\\n\\n' >&2; exit 3", "no such codec: [31mopus"),
    "text": ("echo Hello, this is no JSON", "it begins with 'Hello, this is no JSON'"),
    "half": ("printf '{\"a\": 1'", "it begins with '{\"a\": 1'"),
    "signal": ("echo out of memory >&2; kill -9 $$", "was killed by SIGKILL: out of memory"),
    "silent": ("exit 4", "/bin/sh ended with exit code 4"),
}


class _Service(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        status, body = (500, b'{"error": "the model is not loaded"}') if self.path == "/broken" else (200, b"<html>Hi")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_reason_is_in_every_answer(database_url: str, home: Path, service: str) -> None:
    skills = [
        {"skillId": name, "kind": "command", "command": ["/bin/sh", "-c", f"cat >/dev/null; {script}"]}
        for name, (script, _) in PROGRAMS.items()
    ]
    skills += [{"skillId": name, "kind": "http", "url": f"{service}/{name}"} for name in ("broken", "page")]
    (home / "skills.yaml").write_text(json.dumps({"skills": skills}))
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    reasons = {name: reason for name, (_, reason) in PROGRAMS.items()}
    reasons |= {
        "broken": 'responded with status 500: {"error": "the model is not loaded"}',
        "page": "begins with '<html>Hi'",
    }
    for name, reason in reasons.items():
        step = {"stepId": "one", "skillId": name}
        (home / "flow.json").write_text(json.dumps({"workflowName": name, "version": "1", "steps": [step]}))
        done = call("run", home / "flow.json", "--skills", home / "skills.yaml", env=env)
        assert done.code == 1
        assert reason in done.out
        run_id = done.out.split()[1]
        for verb in ("status", "steps", "history"):
            told = " ".join(call(verb, run_id, env=env).out.split())
            assert reason in told, (verb, told)


def test_an_attempt_that_failed_before_is_told_too(database_url: str, home: Path) -> None:
    script = "if [ $ORCHESTRATOR_ATTEMPT = 1 ]; then echo busy >&2; exit 75; fi"
    skill = {"skillId": "again", "kind": "command", "command": ["/bin/sh", "-c", f"cat >/dev/null; {script}"]}
    (home / "skills.yaml").write_text(json.dumps({"skills": [skill]}))
    step = {"stepId": "one", "skillId": "again", "retryPolicy": {"maxAttempts": 2, "backoffMs": 1}}
    (home / "flow.json").write_text(json.dumps({"workflowName": "again", "version": "1", "steps": [step]}))
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    done = call("run", home / "flow.json", "--skills", home / "skills.yaml", env=env)
    assert done.code == 0, done.err
    told = call("steps", done.out.split()[1], env=env).out
    assert "attempt 1 failed: SKILL_EXECUTION_FAILED: /bin/sh ended with exit code 75: busy" in " ".join(told.split())


RAISING = """
from orchestrator import StepContext, skill


def parse(page: int) -> None:
    try:
        {}["title"]
    except KeyError as error:
        raise ValueError(f"page {page} has no title") from error


@skill("reason.thread")
def in_a_thread(given: dict, ctx: StepContext) -> dict:
    parse(3)


@skill("reason.loop")
async def on_the_loop(given: dict, ctx: StepContext) -> dict:
    parse(4)
"""


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_skills_own_frames_and_the_cause_are_shown(executor: str, database_url: str, home: Path) -> None:
    (home / "raising.py").write_text(RAISING)
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    for name, page in (("thread", 3), ("loop", 4)):
        step = {"stepId": "one", "skillId": f"reason.{name}", "retryPolicy": {"maxAttempts": 1}}
        flow = {"workflowName": f"{executor}.{name}", "version": "1", "steps": [step]}
        (home / "flow.json").write_text(json.dumps(flow))
        words = ("run", home / "flow.json", "--skills", home / "raising.py", "--executor", executor)
        ended = call(*words, env=env)
        run_id = ended.out.split()[1]
        shown = [ended.out, *(call(verb, run_id, env=env).out for verb in ("status", "steps", "history"))]
        for text in shown:
            lines = [line.strip() for line in text.splitlines()]
            assert 'raise ValueError(f"page {page} has no title") from error' in lines, text
            assert f"parse({page})" in lines
            assert "caused by KeyError: 'title'" in lines
            assert "perform.py" not in text, "frames of our own"
        details = call("status", run_id, "--json", env=env).document["error"]["details"]
        assert details["type"] == "ValueError"
        assert details["causes"] == ["KeyError: 'title'"]
        first, *_ = details["traceback"].strip().splitlines()
        assert "raising.py" in first
