"""Every verb that prints text, as real programs, on data that a terminal must not obey: in a pipe and on a terminal."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.acceptance.fixtures.hostile import EVIL
from tests.world.programs import FIXTURES, PATIENCE_SECONDS, Done, call, command, environment

SKILLS = FIXTURES / "hostile.py"
# What no terminal may get: OSC, BEL, C1, right-to-left override, zero width space. Carriage returns come apart.
OBEYED = ("\x1b]", "\x07", "\x9b", "\u202e", "\u200b", "E\x1b[31m")


def definition(name: str, skill: str) -> str:
    return json.dumps(
        {
            "workflowName": name,
            "version": EVIL,
            "description": EVIL,
            "steps": [
                {"stepId": "make", "skillId": "hostile.make"},
                {"stepId": "end", "skillId": skill, "dependsOn": ["make"]},
            ],
            "changeTypes": {EVIL: {"seeds": ["end"]}},
        }
    )


def harmless(said: str) -> bool:
    return not any(mark in said for mark in OBEYED)


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def on_terminal(*words: str | Path, env: dict[str, str]) -> str:
    """Run a verb on a terminal of its own and return what it wrote there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(words),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment({**env, "TERM": "xterm-256color", "ORCHESTRATOR_LOG_FORMAT": "console", "COLUMNS": "200"}),
    ) as process:
        os.close(theirs)
        said = bytearray()
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            said += chunk
        process.wait(PATIENCE_SECONDS)
    os.close(ours)
    return said.decode("utf-8", "replace")


@pytest.mark.timeout(600)
def test_no_verb_prints_what_a_terminal_would_obey(env: dict[str, str], home: Path) -> None:
    good, bad = home / "good.json", home / "bad.json"
    good.write_text(definition("hostile.good", "hostile.make"))
    bad.write_text(definition("hostile.bad", "hostile.fail"))
    broken = home / "broken.json"
    broken.write_text(json.dumps({"workflowName": EVIL, EVIL: EVIL, "steps": [{"stepId": EVIL, "skillId": "x"}]}))
    labels = ("--label", f"{EVIL}={EVIL}")

    def ran(file: Path) -> str:
        found: str = call("run", file, "--skills", SKILLS, *labels, "--json", env=env).document["id"]
        return found

    made, failed = ran(good), ran(bad)
    waiting = call("trigger", "hostile.good", *labels, "--json", env=env).document["runId"]
    assert call("cancel", waiting, "--reason", EVIL, env=env).code == 0
    verbs: list[tuple[str | Path, ...]] = [
        ("run", good, "--skills", SKILLS, *labels),
        ("run", bad, "--skills", SKILLS),
        *(("status", run) for run in (made, failed, waiting)),
        *(("steps", run) for run in (made, failed)),
        ("artifacts", made),
        *(("history", run) for run in (made, failed, waiting)),
        ("replay", failed),
        ("diff", made, failed),
        ("runs", "list"),
        ("workflows", "list"),
        ("workflows", "show", "hostile.good"),
        ("workflows", "validate", good, broken),
        ("workflows", "register", good),
        ("cache", "list"),
        ("cache", "explain", made, "make"),
        ("audit", "verify"),
        ("update", made, "--type", EVIL, "--dry-run"),
        ("status", made, "--data-dir", home / EVIL.replace("/", "")),
    ]
    shown = 0
    for words in verbs:
        done: Done = call(*words, env={**env, "ORCHESTRATOR_LOG_FORMAT": "console"})
        assert "Traceback" not in done.err, (words, done.err)
        assert harmless(done.out), words
        assert harmless(done.err), words
        assert "\r" not in done.out + done.err, words
        shown += r"\x1b[31m" in done.out + done.err
    assert shown >= 14
    document = call("status", made, "--json", env=env)
    assert document.document["labels"] == {EVIL: EVIL}
    assert "\u202e" in document.out  # JSON for programs stays as it is

    for words in (
        verbs[0],
        verbs[1],
        ("status", made),
        ("runs", "list"),
        ("history", failed),
        ("status", made, "--json"),
    ):
        said = on_terminal(*words, env=env)
        assert harmless(said), (words, said)
        assert r"\u202e" in said, (words, said)


class Liar(BaseHTTPRequestHandler):
    """A server that answers with an error in words of its own."""

    def do_GET(self) -> None:
        body = json.dumps({"error": EVIL, "message": EVIL, "details": {EVIL: EVIL}}).encode()
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def liar() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_words_of_a_server_are_shown_and_not_obeyed(liar: str) -> None:
    words = ("status", "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d", "--server", liar)
    done = call(*words)
    assert done.code == 1
    assert harmless(done.err)
    assert r"\x1b[31m" in done.err
    assert harmless(on_terminal(*words, env={}))
