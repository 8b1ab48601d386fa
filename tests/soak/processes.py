"""The processes of a soak: started as a user does, started again when they end, each with a log of its own."""

import math
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.waiting import eventually
from tests.world.programs import command, environment

READY_SECONDS = 120.0
_ANSWER_SECONDS = 30.0


class Member:
    """One place in the plant, held by one process after another.

    Args:
        name: such as `worker-1`.
        words: what comes after `orchestrator`.
        env: the settings.
        logs: the folder for its log.
    """

    def __init__(self, name: str, words: Sequence[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self._command = command(words)
        self._env = environment(env)
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen_at = 0.0
        self._seen_alive_at = 0.0
        self._disturbed_until = 0.0
        self.starts = 0
        self.told = ""
        self.deaths: dict[int, float] = {}
        """When processes of this place were last seen alive, in milliseconds since 1970, by process id.

        Other processes may notice a death before we do. So this is a time before it, never one after it.
        """
        self.frozen: list[tuple[int, float, float]] = []
        """Which process was frozen from when to when."""

    @property
    def log(self) -> Path:
        return self._logs / f"{self.name}.{self.starts}.log"

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def code(self) -> int | None:
        """The exit code once it has ended."""
        at, code = time.time() * 1000, self._running.poll()
        if code is None:
            self._seen_alive_at = at
        else:
            self.deaths.setdefault(self.pid, self._seen_alive_at)
        return code

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def start(self) -> None:
        """Start a process; `await_ready` waits for it."""
        self.starts += 1
        self._seen_alive_at = time.time() * 1000
        with self.log.open("wb") as err, self.log.with_suffix(".out").open("wb") as out:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self._env
            )

    def await_ready(self) -> str:
        """Wait until it says that it is ready, and return for what."""
        out = self.log.with_suffix(".out")
        eventually(
            lambda: "\n" in out.read_text() or self.code is not None,
            READY_SECONDS,
            f"{self.name} is ready",
            shows=self.log.read_text,
        )
        said = out.read_text()
        assert "\n" in said, f"{self.name} ended with {self.code}: {self.log.read_text()[-3000:]}"
        assert said.startswith("ready "), said
        self.told = said.splitlines()[0].removeprefix("ready ")
        return self.told

    def restart(self) -> None:
        self.start()
        self.await_ready()

    def kill(self) -> None:
        """Kill -9, also when it is frozen."""
        self.deaths.setdefault(self.pid, time.time() * 1000)
        self._running.kill()
        self._running.wait()

    @property
    def disturbed(self) -> bool:
        """Whether it was frozen a moment ago, so that it may not have answered."""
        return time.monotonic() < self._disturbed_until

    def freeze(self) -> None:
        self._frozen_at = time.time() * 1000
        self._disturbed_until = math.inf
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running.send_signal(signal.SIGCONT)
        self.frozen.append((self.pid, self._frozen_at, time.time() * 1000))
        self._disturbed_until = time.monotonic() + _ANSWER_SECONDS

    def stop(self, seconds: float) -> int:
        """SIGTERM; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
        """
        self._running.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while (code := self.code) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._command, seconds)
            time.sleep(0.01)
        return code

    def end(self) -> None:
        """Have no process any more, whatever it takes."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            self._process.wait()

    def figures(self) -> tuple[float, int] | None:
        """Return its memory (resident, in MiB) and how many descriptors it has open; None when it is gone."""
        try:
            process = psutil.Process(self.pid)
            return process.memory_info().rss / (1 << 20), process.num_fds()
        except psutil.NoSuchProcess:
            return None


def frozen_meanwhile(members: Collection[Member], pid: int, began: float, ended: float, margin: float) -> bool:
    """Return whether a process was frozen at some time in between, or a little before."""
    return any(
        one == pid and began <= thawed + margin and ended >= froze
        for member in members
        for one, froze, thawed in member.frozen
    )
