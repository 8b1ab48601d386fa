"""Run a program in its own session and process group, for systems without keepers.

Processes that leave the group are not ended.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from orchestrator.skills.streams import Heard, feed


async def begin(
    command: Sequence[str], stdin: bytes, folder: Path, env: Mapping[str, str], heard: Heard
) -> "GroupedChild":
    """Start a program and write `stdin` to it.

    Raises:
        OSError: the program cannot be started.
    """
    _, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: GroupedChild(heard),
        *command,
        cwd=folder,
        env=dict(env),
        start_new_session=True,
    )
    child.feed(stdin)
    return child


class GroupedChild(asyncio.SubprocessProtocol):
    """A running program, as the event loop's subprocess protocol."""

    def __init__(self, heard: Heard) -> None:
        self._output = heard
        self._has_ended = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._group = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the process group."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._group = self._transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Record output of the program."""
        self._output.take(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Record that an output pipe is closed."""
        self._output.close(fd)

    def process_exited(self) -> None:
        """Kill the processes that the program left in its group."""
        self.kill()
        self._has_ended.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Record that the program has ended."""
        self._has_ended.set()

    def feed(self, stdin: bytes) -> None:
        """Write the input to stdin and close it."""
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is not None:
            feed(cast("asyncio.WriteTransport", pipe), stdin)

    async def ended(self) -> int:
        """Wait until the program has ended and return its exit code."""
        await self._has_ended.wait()
        code = self._transport.get_returncode() if self._transport else None
        return -signal.SIGKILL if code is None else code

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the connections to the program."""
        if self._transport is not None:
            self._transport.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)
