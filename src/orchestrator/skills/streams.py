"""The standard streams of a program: write stdin, collect stdout and stderr."""

import asyncio
from codecs import getincrementaldecoder
from collections.abc import Callable
from contextlib import suppress

from orchestrator.skills.logs import StepLog

STDERR_TAIL_BYTES = 2048


class Heard:
    """The collected output of a program: stdout up to a limit, and the end of stderr. `log` gets all of it."""

    def __init__(self, max_stdout_bytes: int, log: StepLog | None = None) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflowed = False
        self.everything = asyncio.Event()
        self.on_overflow: Callable[[], None] | None = None
        self._limit = max_stdout_bytes
        self._log = log
        self._decoders = {fd: getincrementaldecoder("utf-8")("replace") for fd in (1, 2)} if log is not None else {}
        self._open = {1, 2}

    def take(self, fd: int, data: bytes) -> None:
        """Collect data from stdout (1) or stderr (2)."""
        if self._log is not None and not self.overflowed:
            self._log.write("stderr" if fd == 2 else "stdout", self._decoders[fd].decode(data))
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
        """Record that a stream has ended."""
        self._open.discard(fd)
        if not self._open:
            self.everything.set()


class Listening(asyncio.Protocol):
    """Collects one of the two streams, as an asyncio protocol."""

    def __init__(self, heard: Heard, fd: int) -> None:
        self._output = heard
        self._fd = fd

    def data_received(self, data: bytes) -> None:
        """Collect the data."""
        self._output.take(self._fd, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Record that the stream has ended."""
        self._output.close(self._fd)


def feed(pipe: asyncio.WriteTransport, stdin: bytes) -> None:
    """Write the input to stdin and close it. The program need not read it, and may have already ended."""
    if not pipe.is_closing():  # uvloop raises RuntimeError for a closing pipe
        with suppress(OSError):
            pipe.write(stdin)
    pipe.close()
