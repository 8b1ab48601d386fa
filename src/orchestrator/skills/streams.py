"""What goes into a program and what comes out of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

STDERR_TAIL_BYTES = 2048


class Heard:
    """What a program wrote: stdout up to a limit, and the end of stderr."""

    def __init__(self, max_stdout_bytes: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflowed = False
        self.everything = asyncio.Event()
        self.on_overflow: Callable[[], None] | None = None
        self._limit = max_stdout_bytes
        self._open = {1, 2}

    def take(self, fd: int, data: bytes) -> None:
        """Take note of what came from stdout (1) or stderr (2)."""
        if fd == 2:
            self.stderr += data
            del self.stderr[:-STDERR_TAIL_BYTES]
        elif len(self.stdout) + len(data) <= self._limit:
            self.stdout += data
        else:
            self.overflowed = True
            if self.on_overflow is not None:
                self.on_overflow()

    def close(self, fd: int) -> None:
        """Take note that nothing more comes from there."""
        self._open.discard(fd)
        if not self._open:
            self.everything.set()


class Listening(asyncio.Protocol):
    """One of the two, as the event loop reads it."""

    def __init__(self, heard: Heard, fd: int) -> None:
        self._heard = heard
        self._fd = fd

    def data_received(self, data: bytes) -> None:
        """Take note of it."""
        self._heard.take(self._fd, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Take note that it is closed."""
        self._heard.close(self._fd)


def feed(pipe: asyncio.WriteTransport, stdin: bytes) -> None:
    """Write all of stdin and close it. A program need not read it, and may have ended already."""
    if not pipe.is_closing():  # or uvloop raises RuntimeError
        with suppress(OSError):
            pipe.write(stdin)
    pipe.close()
