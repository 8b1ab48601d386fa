"""Check whether this process can execute steps: file descriptors, threads, and space for temporary files."""

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
"""The error numbers of the operating system that mean that a resource is exhausted."""

_PIPES = 8
_BYTES = 65_536
_LONGEST_CHAIN = 20


class Fitness:
    """Distinguishes failures caused by a missing resource in this process from failures of the skills themselves."""

    def __init__(self) -> None:
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """Return what is missing, or None. This probes the resources only if one was missing at the last check."""
        if self._trouble is not None:
            self._trouble = missing()
            if self._trouble is None:
                logger.info("worker can execute steps again")
        return self._trouble

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Raise WorkerUnfit instead of an error that was caused by a missing resource in this process."""
        try:
            yield
        except Exception as error:
            unfit = self.judge(error)
            if unfit is not None:
                raise unfit from error
            raise

    def judge(self, error: Exception) -> WorkerUnfit | None:
        """Return the WorkerUnfit to raise instead if a resource that is still missing caused an error, or None."""
        if not isinstance(error, WorkerUnfit) and not _is_caused_by_shortage(error):
            return None
        found = missing()
        if found is not None and self._trouble is None:
            logger.warning("worker cannot execute steps and stops claiming runs: %s", found)
        self._trouble = found
        if isinstance(error, WorkerUnfit):
            return error
        return None if found is None else WorkerUnfit(found)


def missing() -> str | None:
    """Probe the resources that every attempt may need, and return which one is missing, or None."""
    try:
        with ExitStack() as opened:
            for _ in range(_PIPES):
                for end in os.pipe():
                    opened.callback(os.close, end)
    except OSError as error:
        return f"cannot open files ({error.strerror})"
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(bytes(_BYTES))
    except OSError as error:
        return f"cannot write to {tempfile.gettempdir()} ({error.strerror})"
    thread = threading.Thread(target=int, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return f"cannot start threads ({error})"
    thread.join()
    return None


def _is_caused_by_shortage(error: BaseException) -> bool:
    try:
        return any(_is_shortage(one) for one in _chain(error))
    except BaseException:  # noqa: BLE001 - code of the skill's exceptions ran here
        return False


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in SHORTAGES
    return isinstance(error, RuntimeError) and error.args == ("can't start new thread",)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts, and the members of exception groups, at most 20 in all."""
    waiting = [error]
    for _ in range(_LONGEST_CHAIN):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions[:_LONGEST_CHAIN]
        waiting += [cause for cause in (one.__context__, one.__cause__) if cause is not None]
