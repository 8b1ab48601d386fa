"""The program as its users start it: real processes, each ended by its pid whatever happens."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.waiting import eventually
from tests.world.forks import Forked, can_fork

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = ROOT / "examples" / "campaign"
FIXTURES = ROOT / "tests" / "acceptance" / "fixtures"
PATIENCE_SECONDS = 90.0


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without settings of the user's, with those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return {**inherited, "ORCHESTRATOR_LOG_FORMAT": "json", **(given or {})}


def command(words: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *map(str, words)]


class Done:
    """A program that ran to its end."""

    def __init__(self, code: int, out: str, err: str, cpu_seconds: float) -> None:
        self.code = code
        self.out = out
        self.err = err
        self.cpu_seconds = cpu_seconds

    @property
    def document(self) -> Any:
        """Its stdout, which must be one JSON document and nothing else."""
        assert self.out, self.err
        return json.loads(self.out)


def call(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    given: str = "",
    cwd: Path | None = None,
    imports: bool = False,
) -> Done:
    """Run a verb to its end; with `imports`, in an interpreter of its own."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        stdin.write(given.encode())
        stdin.seek(0)
        before = _children_seconds()
        streams = [stdin.fileno(), out.fileno(), err.fileno()]
        program = start(words, environment(env), cwd, streams, imports=imports)
        try:
            code = program.wait(PATIENCE_SECONDS)
        finally:
            program.kill()
            program.wait()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
    spent = program.cpu_seconds if isinstance(program, Forked) else _children_seconds() - before
    return Done(code, said[0], said[1], spent)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def start(
    words: Sequence[str | Path],
    env: Mapping[str, str],
    cwd: Path | None,
    streams: Sequence[int],
    *,
    imports: bool = False,
    prepare: Callable[[], None] | None = None,
) -> "subprocess.Popen[bytes] | Forked":
    """Start the program with descriptors for stdin, stdout and stderr; forked if that makes no difference to it."""
    if not imports and can_fork(env):
        return Forked(words, env, cwd, streams)
    stdin, out, err = streams
    return subprocess.Popen(command(words), stdin=stdin, stdout=out, stderr=err, env=env, cwd=cwd, preexec_fn=prepare)  # noqa: PLW1509 - takes no lock


class Program:
    """A program that serves; used as a context manager it is gone at the end.

    `prepare` is called in the new process before the program. With `imports` it is an interpreter of its own.
    """

    def __init__(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
        imports: bool = False,
    ) -> None:
        self._words = words
        self._prepare = prepare
        self._imports = imports
        self._env = environment(env)
        self._out = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115 - closed by our own exit
        self._err = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> Self:
        streams = [0, self._out.fileno(), self._err.fileno()]
        imports = self._imports or self._prepare is not None
        self._process = start(self._words, self._env, None, streams, imports=imports, prepare=self._prepare)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self._kill_with_children()
        self._out.close()
        self._err.close()

    @property
    def process(self) -> "subprocess.Popen[bytes] | Forked":
        assert self._process is not None, "not started"
        return self._process

    @property
    def out(self) -> str:
        return Path(self._out.name).read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return Path(self._err.name).read_text(encoding="utf-8")

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]

    def ready(self) -> str:
        """Wait until it says that it is ready, and return for what: an address, or a name."""
        eventually(
            lambda: "\n" in self.out or self.process.poll() is not None,
            PATIENCE_SECONDS,
            "it is ready",
            shows=lambda: self.err,
        )
        assert self.out.startswith("ready "), f"{self.out}\n{self.err}"
        return self.out.splitlines()[0].removeprefix("ready ")

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code."""
        self.process.send_signal(number)
        code = self.wait()
        assert "Traceback" not in self.err, self.err
        assert "error: " not in self.err, self.err
        return code

    def kill(self) -> None:
        """Kill -9, it alone."""
        self.process.kill()
        self.process.wait()

    def _kill_with_children(self) -> None:
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:  # it ended just now
            return
        self.kill()
        for child in children:
            if child.is_running() and child.name() != "postgres":
                child.kill()


class Site:
    """The API of a running program."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=f"{address}/api/v1", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def post(self, path: str, document: Any) -> Any:
        answer = self._client.post(path, json=document)
        assert answer.is_success, answer.text
        return answer.json()

    def code(self, path: str, document: Any = None) -> int:
        """Return the status of the response to a GET, or to a POST of the document."""
        if document is None:
            return self._client.get(path).status_code
        return self._client.post(path, json=document).status_code

    def trigger(self, workflow: str, payload: Mapping[str, Any]) -> str:
        answer = self._client.post("/runs", json={"workflowName": workflow, "triggerPayload": payload})
        assert answer.status_code == 202, answer.text
        run_id: str = answer.json()["runId"]
        return run_id

    def cancel(self, run_id: str) -> None:
        self._client.post(f"/runs/{run_id}/cancel", json={}).raise_for_status()

    def events(self, run_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.get(f"/runs/{run_id}/events?limit=1000")["events"]
        return events

    def ended(self, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended, and return it."""
        over = ("completed", "failed", "cancelled")
        look: Callable[[], dict[str, Any]] = partial(self.get, f"/runs/{run_id}")
        return eventually(look, PATIENCE_SECONDS, "the run is over", right=lambda run: run["status"] in over)


def started(events: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each step was started."""
    counts: dict[str, int] = {}
    for event in events:
        if event["type"] == "StepStarted":
            counts[event["data"]["step"]] = counts.get(event["data"]["step"], 0) + 1
    return counts


def completed(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the steps that completed, as often as they did."""
    return [event["data"]["step"] for event in events if event["type"] == "StepCompleted"]
