"""`sys.stdout` and `sys.stderr` of a process that runs skills: what a skill prints goes to the log of its attempt.

What is printed elsewhere goes to the real stream, also by threads that a skill starts without its context.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO, cast

from orchestrator.skills.logs import CURRENT


class StepStream:
    """A standard stream that passes what skills print to their logs, and everything else to `outside`."""

    def __init__(self, outside: TextIO, stream: Literal["stdout", "stderr"]) -> None:
        self.outside = outside
        self.users = 0
        self._stream = stream
        current = CURRENT.get

        def write(text: str) -> int:
            """Write text, and return its length."""
            log = current()
            if log is not None and log.write(stream, text):
                return len(text)
            return self.outside.write(text)

        # A closure: `print` calls it twice a line, and every attribute of this class costs a detour by `__getattr__`.
        self.write = write

    def around(self, stream: TextIO) -> "StepStream":
        """Return the same around another stream, such as that of a live display."""
        return StepStream(stream, self._stream)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the real stream."""
        self.outside.flush()

    def isatty(self) -> bool:
        """Return whether this is a terminal; a log is none."""
        return CURRENT.get() is None and self.outside.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.outside, name)


_lock = threading.Lock()


@contextmanager
def step_streams() -> Iterator[None]:
    """Collect what skills print, inside this block. Blocks may overlap, and other code may replace the streams."""
    installed = [_install("stdout"), _install("stderr")]
    try:
        yield
    finally:
        for name, stream in zip(("stdout", "stderr"), installed, strict=True):
            if stream is not None:
                _remove(name, stream)


def outside(stream: TextIO) -> TextIO:
    """Return the real stream behind a standard stream, for output that is not a skill's."""
    return stream.outside if isinstance(stream, StepStream) else stream


def _install(name: Literal["stdout", "stderr"]) -> StepStream | None:
    with _lock:
        found: Any = getattr(sys, name)
        if found is None:  # the stream is closed
            return None
        stream = found if isinstance(found, StepStream) else StepStream(found, name)
        stream.users += 1
        setattr(sys, name, cast("TextIO", stream))
        return stream


def _remove(name: str, stream: StepStream) -> None:
    with _lock:
        stream.users -= 1
        if not stream.users and getattr(sys, name) is stream:
            setattr(sys, name, stream.outside)


def _forked() -> None:
    """In a forked process, print to the real streams: nothing takes the lines of its logs."""
    CURRENT.set(None)


os.register_at_fork(after_in_child=_forked)
