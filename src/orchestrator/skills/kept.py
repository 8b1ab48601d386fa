"""Run a program under a keeper, which ends all processes that the program started. Linux only."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import orjson

from orchestrator.skills import keeper, nursery
from orchestrator.skills.streams import Heard, Listening, feed

IS_AVAILABLE = nursery.IS_AVAILABLE


async def begin(
    command: Sequence[str], stdin: bytes, folder: Path, env: Mapping[str, str], heard: Heard
) -> "KeptChild":
    """Start a program under a keeper and write `stdin` to it.

    Raises:
        OSError: this process has no file descriptors left, or no process can be started.
    """
    loop = asyncio.get_running_loop()
    child = KeptChild()
    with ExitStack() as ours, ExitStack() as theirs:
        pipes: list[tuple[int, Any]] = []
        stdio: list[int] = []
        for fd in range(3):
            read, write = (os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
            mine, other = (write, read) if fd == 0 else (read, write)
            pipes.append((fd, ours.enter_context(mine)))
            stdio.append(theirs.enter_context(other).fileno())
        control, its = socket.socketpair()
        ours.enter_context(control)
        with closing(its):
            await nursery.fork_keeper((its.fileno(), *stdio))
        ours.callback(child.close)
        await loop.create_unix_connection(lambda: child, sock=control)
        (_, to_stdin), *outputs = pipes
        feeding, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, to_stdin)
        child.transports.append(feeding)
        for fd, pipe in outputs:
            listening = Listening(heard, fd)
            transport, _ = await loop.connect_read_pipe(lambda listening=listening: listening, pipe)  # type: ignore[misc]
            child.transports.append(transport)
        ours.pop_all()
    child.begin(command, folder, env)
    feed(feeding, stdin)
    return child


class KeptChild(asyncio.Protocol):
    """A running program, as the control connection to its keeper."""

    def __init__(self) -> None:
        self.transports: list[asyncio.BaseTransport] = []
        self._reply = bytearray()
        self._has_ended = asyncio.Event()
        self._control: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the control connection to the keeper."""
        self._control = transport

    def data_received(self, data: bytes) -> None:
        """Collect the keeper's only message, which it sends at the end."""
        self._reply += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Record that the program has ended, or that its keeper was killed."""
        self._has_ended.set()

    def begin(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        """Send the keeper the program to run."""
        wanted = {"command": list(command), "folder": str(folder), "env": dict(env)}
        self._control.write(keeper.framed(wanted))

    async def ended(self) -> int:
        """Wait until the program and all processes it started have ended, and return its exit code.

        Raises:
            OSError: the program could not be started.
        """
        await self._has_ended.wait()
        message = orjson.loads(self._reply) if self._reply else {"status": signal.SIGKILL}
        if "errno" in message:
            raise OSError(message["errno"], message["error"])
        return os.waitstatus_to_exitcode(message["status"])

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the program's process group."""
        self._send(keeper.ASK)

    def kill(self) -> None:
        """Kill the program and all processes it started."""
        self._send(keeper.KILL)

    def close(self) -> None:
        """Close the connections. The keeper kills the program if it is still running."""
        for transport in (self._control, *self.transports):
            if transport is not None:
                transport.close()

    def _send(self, order: bytes) -> None:
        if not self._control.is_closing():
            self._control.write(order)
