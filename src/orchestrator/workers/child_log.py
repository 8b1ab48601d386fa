"""Sends what the skill in a child process prints to its worker."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from orchestrator.skills.logs import LogLine, LogMemory, StepLog
from orchestrator.skills.masking import mask

_SEND_SECONDS = 0.2
_END_SECONDS = 5.0


class LogSender:
    """The log of an attempt in a child process; entering it returns the log. Lines are sent every 0.2 s.

    The worker limits the log, so this one has no limit. `send` may block while the worker is busy.
    """

    def __init__(self, send: Callable[[list[LogLine]], None]) -> None:
        self._send = send
        self._memory = LogMemory()
        self._news = threading.Event()
        self._urgent = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._log = StepLog(None, self._memory, self._notice, may_wait=lambda: not self._ended, mask=mask)

    def __enter__(self) -> StepLog:
        return self._log

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._ended = True
        self._news.set()
        self._urgent.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _notice(self, _log: StepLog, urgent: bool) -> None:
        if self._thread is None:  # most attempts print nothing
            self._thread = threading.Thread(target=self._work, name="log sender", daemon=True)
            self._thread.start()
        self._news.set()
        if urgent:
            self._urgent.set()

    def _work(self) -> None:
        with suppress(OSError):  # the worker is gone, and this process ends soon
            while True:
                self._news.wait()
                self._urgent.wait(_SEND_SECONDS)
                ended = self._ended
                self._urgent.clear()
                self._news.clear()
                lines, reserved = self._log.take()
                if lines:
                    self._send(lines)
                self._memory.release(reserved)
                if ended:
                    return
