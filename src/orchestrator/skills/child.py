"""A child process in a process group of its own: fed, listened to, and ended with all its descendants."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

STDERR_TAIL_BYTES = 2048

# How long what a dead child left in its pipes is waited for: a descendant that left the group may keep
# them open for ever.
_DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended: its exit code (negative: the signal), stdout, the end of stderr, too much stdout."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    overflowed: bool


async def run_child(
    command: Sequence[str],
    *,
    stdin: bytes,
    folder: Path,
    env: Mapping[str, str],
    grace_seconds: float,
    max_stdout_bytes: int,
) -> Ending:
    """Run a program to its end. No shell is involved; `env` is all of its environment.

    When the caller is cancelled the whole process group gets SIGTERM and, as soon as the program itself is
    gone or after `grace_seconds`, SIGKILL. What a program leaves running when it ends is killed too.

    Raises:
        FileNotFoundError, PermissionError: the program cannot be started.
        asyncio.CancelledError: the caller was cancelled; the group is gone.
    """
    transport, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Child(max_stdout_bytes),
        *command,
        cwd=folder,
        env=dict(env),
        start_new_session=True,
    )
    try:
        child.feed(stdin)
        await child.exited.wait()
    except BaseException:
        await child.stop(grace_seconds)
        raise
    finally:
        try:
            await child.drain()
        finally:
            transport.close()
    exit_code = transport.get_returncode()
    return Ending(
        -signal.SIGKILL if exit_code is None else exit_code,
        bytes(child.stdout),
        bytes(child.stderr),
        child.overflowed,
    )


class _Child(asyncio.SubprocessProtocol):
    """What the event loop tells about the child."""

    def __init__(self, max_stdout_bytes: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflowed = False
        self.exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._limit = max_stdout_bytes
        self._transport: asyncio.SubprocessTransport | None = None
        self._group = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._group = self._transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.stderr += data
            del self.stderr[:-STDERR_TAIL_BYTES]
        elif len(self.stdout) + len(data) <= self._limit:
            self.stdout += data
        else:
            self.overflowed = True
            self._signal(signal.SIGKILL)

    def process_exited(self) -> None:
        self._signal(signal.SIGKILL)  # what it left behind
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.exited.set()
        self._drained.set()

    def feed(self, stdin: bytes) -> None:
        """Write all of stdin and close it; a child that does not read it is free not to."""
        pipe: Any = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is not None:
            with suppress(OSError):
                pipe.write(stdin)
            pipe.close()

    async def stop(self, grace_seconds: float) -> None:
        """End the group: first asked, then made to."""
        try:
            self._signal(signal.SIGTERM)
            await asyncio.wait_for(self.exited.wait(), grace_seconds)
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)

    async def drain(self) -> None:
        """Wait for the end of the pipes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), _DRAIN_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if self._group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)
