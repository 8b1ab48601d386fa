"""The log of an attempt: what its skill prints, what the program of a command skill prints, and `ctx.log`.

    print, ctx.log, output of a program (any thread) -> whole lines -> a bounded buffer -> `take`

Adding a line never fails and never waits for the store: what does not fit is counted, and a line in the log says so.
"""

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from threading import get_ident
from time import sleep, time_ns
from typing import Literal

from orchestrator.skills.call import SkillCall

LogStream = Literal["stdout", "stderr", "log"]
"""Where a line comes from: printed to stdout or stderr, or passed to `ctx.log`."""

LogLine = tuple[int, LogStream, str]
"""A line: milliseconds since 1970 UTC, its stream, and its text without the line end."""

LINE_CHARACTERS = 64 << 10
"""A longer line is divided into several."""

_BUFFER_BYTES = 8 << 20
_URGENT_BYTES = 1 << 20
_RESERVE_BYTES = 16 << 10
_LINE_OVERHEAD = 100  # memory of a line besides its text
_LOOK_SECONDS = 0.05
_BEGINNING = threading.RLock()


def unmasked(text: str) -> str:
    """Return a text as it is."""
    return text


def never() -> bool:
    """Return False."""
    return False


class LogMemory:
    """The memory that the logs of all attempts of a process may use together, in bytes. Thread-safe."""

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        self._max_bytes = max_bytes
        self._used = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        """Reserve memory, and return whether there was enough."""
        with self._lock:
            if self._used + size > self._max_bytes:
                return False
            self._used += size
            return True

    def release(self, size: int) -> None:
        """Return reserved memory."""
        with self._lock:
            self._used -= size


class StepLog:
    """The lines of one attempt until they are taken. Safe to use from several threads.

    Most attempts print nothing, so their logs consist of little more than these arguments.

    Args:
        max_bytes: the attempt's log is cut after this many bytes of text (UTF-8, with line ends); None means no limit.
        memory: limits the lines that are not taken yet, over all logs of the process.
        on_news: called with the log, and with False when there is something to take, or True when it should be taken
            at once. It must return immediately.
        may_wait: whether a thread that prints faster than lines are taken may wait for a moment. It is not asked on
            an event loop.
        on_line: called with the stream and text of each printed line, for example to show it.
        mask: applied to the text of every line before it is kept.
        call: the call whose log this is.
    """

    _kept_bytes = 0
    _buffer_bytes = 0
    _new_bytes = 0
    _reserved = 0
    _check_at = 0
    _over_limit = 0
    _dropped = 0
    _unsaid = 0
    _urged = False
    _is_full = False
    _closed = False
    _has_begun = False

    def __init__(
        self,
        max_bytes: int | None,
        memory: LogMemory,
        on_news: "Callable[[StepLog, bool], None]",
        *,
        may_wait: Callable[[], bool] = never,
        on_line: Callable[[LogStream, str], None] | None = None,
        mask: Callable[[str], str] = unmasked,
        call: SkillCall | None = None,
    ) -> None:
        self.call = call
        self._max_bytes = max_bytes
        self._memory = memory
        self._on_news = on_news
        self._may_wait = may_wait
        self._on_line = on_line
        self._mask = mask

    def _begin(self) -> None:
        """Make what only a log with lines needs."""
        with _BEGINNING:
            if not self._has_begun:
                self._limit = math.inf if self._max_bytes is None else self._max_bytes
                self._lock = threading.RLock()  # a signal handler may print while its thread is in here
                self._new: deque[LogLine] = deque()  # added without the lock, which would cost more
                self._lines: list[LogLine] = []
                self._partial: dict[LogStream, dict[int, str]] = {"stdout": {}, "stderr": {}, "log": {}}
                self._has_begun = True

    @property
    def cut(self) -> int:
        """The number of lines that are missing: those beyond the limit, and those that could not be kept."""
        return self._over_limit + self._dropped

    @property
    def is_closed(self) -> bool:
        """Whether the attempt has ended: no more lines come."""
        return self._closed

    @property
    def has_lines(self) -> bool:
        """Whether there are lines to take."""
        return self._has_begun and bool(self._lines or self._new)

    def write(self, stream: LogStream, text: str) -> bool:
        """Add printed text, and return whether it was taken: a closed log takes nothing.

        Text without a line end is kept until the rest of its line comes from the same thread. As on a terminal, a
        carriage return starts the line again.
        """
        if self._closed:
            return False
        if not self._has_begun:
            self._begin()
        # Only this thread uses its entry, so it needs no lock. `print` writes its texts one by one, and a line end.
        partial, thread = self._partial[stream], get_ident()
        if text == "\n":
            begun = partial.pop(thread, "")
            self._new.append((time_ns() // 1_000_000, stream, begun))
            self._new_bytes = needed = self._new_bytes + len(begun) + _LINE_OVERHEAD
            if needed > self._check_at:
                self._check()
                if self._buffer_bytes > _BUFFER_BYTES:
                    self._wait()
            return True
        if thread in partial:
            text = partial.pop(thread) + text
        if "\n" not in text and "\r" not in text and len(text) <= LINE_CHARACTERS:
            partial[thread] = text
            return True
        *lines, rest = text.split("\n")
        if "\r" in rest:
            rest = _overwritten(rest)
        if len(rest) > LINE_CHARACTERS:
            lines.append(rest)
        elif rest:
            partial[thread] = rest
        self.extend((_now(), stream, line) for line in lines)
        if self._buffer_bytes > _BUFFER_BYTES:
            self._wait()
        return True

    def line(self, stream: LogStream, text: str) -> None:
        """Add whole lines."""
        self.extend((_now(), stream, line) for line in text.split("\n"))

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Add lines; a closed log ignores them."""
        if self._closed:
            return
        if not self._has_begun:
            self._begin()
        for at, stream, text in lines:
            self._new.append((at, stream, text))
            self._new_bytes += len(text) + _LINE_OVERHEAD
        if self._new_bytes > self._check_at:
            self._check()

    def close(self) -> None:
        """End the log. The last line says how many lines were cut."""
        if not self._has_begun:
            self._closed = True
            return
        with self._lock:
            if self._closed:
                return
            for stream, partial in self._partial.items():
                self._new.extend((_now(), stream, text) for text in list(partial.values()))
                partial.clear()
            self._settle()
            self._closed = True
            self._say_dropped()
            if self._over_limit:
                said = f"[{self._over_limit:,} lines were cut: the log of an attempt keeps {self._max_bytes:,} bytes]"
                self._lines.append((_now(), "log", said))
        self._on_news(self, True)

    def take(self) -> tuple[list[LogLine], int]:
        """Return the lines since the last call, and their reserved memory, which the caller must release."""
        if not self._has_begun:
            return [], 0
        with self._lock:
            if not self._closed:
                self._settle()
            lines, self._lines = self._lines, []
            reserved, self._reserved = self._reserved, 0
            self._buffer_bytes, self._check_at, self._urged = 0, 0, False
        return lines, reserved

    def _check(self) -> None:
        """Settle the new lines, and say that there is something to take."""
        with self._lock:
            had_lines = bool(self._lines)
            self._settle()
            # The lines of a log that is shown, full or out of memory are settled one by one.
            is_slow = self._on_line is not None or self._is_full or self._unsaid
            self._check_at = 0 if is_slow else _RESERVE_BYTES
            if self._lines and not had_lines:
                self._on_news(self, False)
            if self._buffer_bytes > _URGENT_BYTES and not self._urged:
                self._urged = True
                self._on_news(self, True)

    def _settle(self) -> None:
        """Mask and measure the new lines, and keep those that fit. The caller holds the lock."""
        self._new_bytes = 0
        take = self._new.popleft  # other threads may be adding lines
        new = [take() for _ in range(len(self._new))]
        if not new:
            return
        texts = [text for _, _, text in new]
        whole = "\n".join(texts)
        size = len(whole) + 1
        needed = self._buffer_bytes + size + _LINE_OVERHEAD * len(new)
        if (
            self._on_line is None
            and not self._unsaid
            and self._kept_bytes + size <= self._limit
            and whole.isascii()
            and "\r" not in whole
            and max(map(len, texts)) <= LINE_CHARACTERS
            and self._mask(whole) == whole
            and self._reserve(needed)
        ):
            self._kept_bytes += size
            self._buffer_bytes = needed
            self._lines += new
        else:
            for at, stream, text in new:
                self._settle_line(at, stream, text)

    def _settle_line(self, at: int, stream: LogStream, text: str) -> None:
        if "\r" in text:
            text = _overwritten(text)
        text = self._mask(text)
        if self._on_line is not None and stream != "log":
            self._on_line(stream, text)
        while len(text) > LINE_CHARACTERS:
            self._keep(at, stream, text[:LINE_CHARACTERS])
            text = text[LINE_CHARACTERS:]
        self._keep(at, stream, text)

    def _keep(self, at: int, stream: LogStream, text: str) -> None:
        size = len(text) + 1
        if not text.isascii():
            try:
                size = len(text.encode()) + 1
            except UnicodeEncodeError:  # lone surrogates
                text = text.encode("utf-8", "replace").decode()
                size = len(text) + 1
        if self._is_full or self._kept_bytes + size > self._limit:
            self._is_full = True
            self._over_limit += 1
            return
        needed = self._buffer_bytes + size + _LINE_OVERHEAD
        if not self._reserve(needed):
            self._dropped += 1
            self._unsaid += 1
            return
        if self._unsaid:
            self._say_dropped()
        self._buffer_bytes = needed
        self._kept_bytes += size
        self._lines.append((at, stream, text))

    def _reserve(self, needed: int) -> bool:
        """Reserve memory for the buffer, and return whether there was enough."""
        if needed > 2 * _BUFFER_BYTES:
            return False
        while needed > self._reserved:
            if not self._memory.reserve(_RESERVE_BYTES):
                return False
            self._reserved += _RESERVE_BYTES
        return True

    def _say_dropped(self) -> None:
        if self._unsaid:
            said = f"[{self._unsaid:,} lines were dropped here: they could not be written in time]"
            self._lines.append((_now(), "log", said))
            self._unsaid = 0

    def _wait(self) -> None:
        """Wait until the buffer has room, unless lines are not being taken."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            return
        while self._buffer_bytes > _BUFFER_BYTES and not self._closed and self._may_wait():
            sleep(_LOOK_SECONDS)


CURRENT: ContextVar[StepLog | None] = ContextVar("step_log", default=None)
"""The log of the attempt whose skill is being called."""


class logged:  # noqa: N801 - reads as a function; a class costs every attempt less than a generator
    """Collect what is printed inside the block, in its tasks, and in threads with a copy of its context."""

    __slots__ = ("_log", "_token")

    def __init__(self, log: StepLog | None) -> None:
        self._log = log

    def __enter__(self) -> None:
        self._token = CURRENT.set(self._log)

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105 - quicker than `suppress`
            CURRENT.reset(self._token)
        except ValueError:
            pass  # a coroutine that is closed from outside ends in another context


def _overwritten(text: str) -> str:
    """Return what a terminal would show of a line with carriage returns."""
    return text.rstrip("\r").rpartition("\r")[2]


def _now() -> int:
    return time_ns() // 1_000_000
