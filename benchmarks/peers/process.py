"""Our side of the protocol with a peer's program (see `answers.py`)."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.answers import MARK

ROOT = Path(__file__).parent.parent.parent

_ANSWER_SECONDS = 240.0
_STOP_SECONDS = 20.0


class PeerFailedError(Exception):
    """A peer's program ended or took too long; the message has its last output."""


class PeerProcess:
    """A program of `programs/` in the environment of its peer. The context is entered once the program is ready."""

    def __init__(self, python: Path, program: str, environment: Mapping[str, str]) -> None:
        command = [str(python), "-m", f"benchmarks.peers.programs.{program}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # to kill the program's children, such as a server, together with it
        )
        self._said: list[str] = []
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self.receive()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.stdin.close()
            self._process.wait(_STOP_SECONDS)
        self.kill()

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self._process.pid

    def ask(self, workload: str, **options: Any) -> dict[str, Any]:
        """Run a workload and return its results.

        Raises:
            PeerFailedError: the workload failed.
        """
        self.send(workload, **options)
        return self.receive()

    def send(self, workload: str, **options: Any) -> None:
        """Start a workload without waiting for its results."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"workload": workload, **options}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise PeerFailedError(self._last_words()) from error

    def receive(self) -> dict[str, Any]:
        """Wait for the results of a workload.

        Raises:
            PeerFailedError: the program ended or did not answer in time.
        """
        try:
            answer = self._answers.get(timeout=_ANSWER_SECONDS)
        except queue.Empty:
            raise PeerFailedError(f"no answer within {_ANSWER_SECONDS:g} s") from None
        if answer is None:
            raise PeerFailedError(self._last_words())
        return answer

    def kill(self) -> None:
        """Kill the program and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_STOP_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                self._answers.put(json.loads(line.removeprefix(MARK)))
            else:
                self._said = [*self._said[-20:], line.strip()]
        self._answers.put(None)

    def _last_words(self) -> str:
        return next((line for line in reversed(self._said) if line), "it ended without a word")
