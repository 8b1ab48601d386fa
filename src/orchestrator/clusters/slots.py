"""Slots: processes that perform one attempt after another, and that can be killed. A step costs no interpreter start.

They are plain subprocesses, because an engine's own worker process may not start multiprocessing children.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import orjson

from orchestrator.clusters.forms import MAX_RECORD_BYTES
from orchestrator.clusters.performer import HAS_KEEPER
from orchestrator.skills import keeper

_START_SECONDS = 60.0
_KILL_SECONDS = 12.0
_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 4 * MAX_RECORD_BYTES


class SlotEnded(Exception):
    """The process of a slot ended before it answered. The message says how."""


class SlotUnusable(Exception):
    """A slot cannot start, for example because a source of skills cannot be loaded. The message says why."""


class Slot:
    """A process that performs one attempt at a time. Used by one thread at a time.

    `skills` are the labels of the skills that it has, by skill id.

    Raises:
        SlotUnusable: the process cannot start, or cannot load its skills.
    """

    def __init__(self) -> None:
        listens, self._orders = os.pipe()
        words = [sys.executable, "-m", "orchestrator.clusters.performer", str(listens)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(listens,)
            )
        except OSError as error:
            os.close(self._orders)
            raise SlotUnusable(f"cannot start a process for steps: {error.strerror}") from error
        finally:
            os.close(listens)
        self._text = bytearray()
        try:
            hello = self.answer(_START_SECONDS) or {"fault": f"did not start within {_START_SECONDS:g} s"}
        except SlotEnded as ended:
            hello = {"fault": str(ended)}
        if "fault" in hello:
            self.kill()
            raise SlotUnusable(f"a process for steps cannot start: {hello['fault']}")
        self.skills: dict[str, list[str]] = hello["skills"]

    @property
    def is_alive(self) -> bool:
        """Whether its process is running."""
        return self._process.poll() is None

    def send(self, document: dict[str, Any]) -> None:
        """Send an attempt to perform; `answer` returns what became of it."""
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(OSError):  # the process has ended: `answer` says so
                stdin.write(orjson.dumps(document) + b"\n")
                stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Return the next answer, or None if there is none within some seconds.

        Raises:
            SlotEnded: the process ended without an answer.
        """
        stdout = self._process.stdout
        if stdout is None:
            raise SlotEnded("its process has no stdout")
        waiting = select.poll()
        waiting.register(stdout.fileno(), select.POLLIN)
        until = time.monotonic() + seconds
        while b"\n" not in self._text:
            left = until - time.monotonic()
            if not waiting.poll(max(0.0, left) * 1000):
                return None
            chunk = os.read(stdout.fileno(), _READ_BYTES)
            if not chunk or len(self._text) > _MAX_LINE_BYTES:
                raise SlotEnded(self._how_it_ended())
            self._text += chunk
        line, _, rest = self._text.partition(b"\n")
        self._text = rest
        found: dict[str, Any] = orjson.loads(line)
        return found

    def ask_to_stop(self) -> None:
        """Ask the skill to stop."""
        self._order(keeper.ASK, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process with all that its skill started, and wait until it has ended."""
        self._order(keeper.KILL, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Close the pipes: an idle process ends by itself."""
        with suppress(OSError):
            os.close(self._orders)
        self._orders = -1
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _order(self, word: bytes, number: signal.Signals) -> None:
        if not HAS_KEEPER:
            self._process.send_signal(number)
        elif self._orders >= 0:
            with suppress(OSError):
                os.write(self._orders, word)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        code = self._process.returncode
        if code is None:
            return "its process stopped responding"
        number = code - 128 if code > 128 else -code
        if number <= 0:
            return f"its process ended with exit code {code}"
        known = number in set(signal.Signals)
        return f"its process was killed by {signal.Signals(number).name}" if known else "its process was killed"


class Slots:
    """The slots of this process. Safe to use from several threads; the engine decides how many are used at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Slot] = []

    def take(self) -> Slot:
        """Return an idle slot, or start one. Give it back with `put_back`, or kill it.

        Raises:
            SlotUnusable: see `Slot`.
        """
        with self._lock:
            while self._idle:
                slot = self._idle.pop()
                if slot.is_alive:
                    return slot
                slot.close()
        return Slot()

    def put_back(self, slot: Slot) -> None:
        """Keep a slot for the next attempt."""
        with self._lock:
            self._idle.append(slot)

    def close(self) -> None:
        """End all idle slots."""
        with self._lock:
            idle, self._idle = self._idle, []
        for slot in idle:
            slot.kill()
