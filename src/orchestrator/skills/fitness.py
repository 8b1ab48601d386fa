"""Whether this process has what it takes to execute anything: file descriptors, threads, room for temporary files."""

import errno
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orchestrator.skills.errors import WorkerUnfit

logger = logging.getLogger(__name__)

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT})
"""What the system says when there is not enough of something."""

_PIPES = 8
_BYTES = 65_536
_LONGEST_CHAIN = 20


class Fitness:
    """Tells attempts that failed for want of something from those that failed by themselves, and remembers."""

    def __init__(self) -> None:
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """Return what is missing, or None. That is tried out only while something was missing the last time."""
        if self._trouble is not None:
            self._trouble = missing()
            if self._trouble is None:
                logger.info("steps can be executed again")
        return self._trouble

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Raise WorkerUnfit in place of an error that was raised because something is missing in this process."""
        try:
            yield
        except Exception as error:
            unfit = self.judge(error)
            if unfit is not None:
                raise unfit from error
            raise

    def judge(self, error: Exception) -> WorkerUnfit | None:
        """Return an error to raise instead when an attempt failed because something is missing in this process now."""
        if not isinstance(error, WorkerUnfit) and not _tells_of_shortage(error):
            return None
        found = missing()
        if found is not None and self._trouble is None:
            logger.warning("no steps can be executed, nothing more is claimed: %s", found)
        self._trouble = found
        if isinstance(error, WorkerUnfit):
            return error
        return None if found is None else WorkerUnfit(found)


def missing() -> str | None:
    """Try out what every attempt may need, and return what could not be had."""
    try:
        with ExitStack() as opened:
            for _ in range(_PIPES):
                for end in os.pipe():
                    opened.callback(os.close, end)
    except OSError as error:
        return f"no file can be opened ({error.strerror})"
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(bytes(_BYTES))
    except OSError as error:
        return f"nothing can be written to {tempfile.gettempdir()} ({error.strerror})"
    thread = threading.Thread(target=int, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return f"no thread can be started ({error})"
    thread.join()
    return None


def _tells_of_shortage(error: BaseException) -> bool:
    try:
        return any(_is_shortage(one) for one in _chain(error))
    except BaseException:  # noqa: BLE001 - code of the skill's own exceptions ran here
        return False


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in SHORTAGES
    return isinstance(error, RuntimeError) and error.args == ("can't start new thread",)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what led to it."""
    waiting = [error]
    for _ in range(_LONGEST_CHAIN):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions[:_LONGEST_CHAIN]
        waiting += [cause for cause in (one.__context__, one.__cause__) if cause is not None]
