"""Check whether this process can execute steps: file descriptors, threads, and space for temporary files."""

import errno
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from orchestrator.skills.context import ArtifactSink
from orchestrator.skills.errors import StoreAway, WorkerUnfit

logger = logging.getLogger(__name__)

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT})
"""The error numbers of the operating system that mean that a resource is exhausted."""

_PIPES = 8
_BYTES = 65_536
_LONGEST_CHAIN = 20


class SharedStore(Protocol):
    """The artifact store, as far as attempts depend on it. None of these waits for it."""

    def outage_in(self, error: BaseException) -> str | None:
        """Return why the store is unavailable if an error says so, else None."""
        ...

    def begin_outage(self, reason: str) -> None:
        """Remember that the store is unavailable."""
        ...

    def outage(self) -> str | None:
        """Return why the store is unavailable, or None."""
        ...


class AttemptStore(ArtifactSink, SharedStore, Protocol):
    """The artifact store, as attempts use it."""


class Fitness:
    """Distinguishes failures caused by a missing resource from failures of the skills themselves.

    Args:
        store: the artifact store that all attempts use; None if it could not be built.
    """

    def __init__(self, store: SharedStore | None) -> None:
        self._store = store
        self._trouble: str | None = None
        self._lacks_store = False

    def trouble(self) -> str | None:
        """Return what is missing, or None. This probes the resources only if one was missing at the last check."""
        if self._trouble is not None:
            self._trouble = missing()
            if self._trouble is None:
                logger.info("worker can execute steps again")
        return self._trouble or self._outage()

    def _outage(self) -> str | None:
        if self._store is None or not self._lacks_store:
            return None
        found = self._store.outage()
        if found is None:
            self._lacks_store = False
            logger.info("worker can execute steps again")
        return found

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
        away = error if isinstance(error, StoreAway) else self._away(error)
        if away is not None:
            if not self._lacks_store:
                logger.warning("worker cannot execute steps and stops claiming runs: %s", away)
            self._lacks_store = True
            if self._store is not None:
                self._store.begin_outage(str(away))
            return away
        if not isinstance(error, WorkerUnfit) and not _is_caused_by_shortage(error):
            return None
        found = missing()
        if found is not None and self._trouble is None:
            logger.warning("worker cannot execute steps and stops claiming runs: %s", found)
        self._trouble = found
        if isinstance(error, WorkerUnfit):
            return error
        return None if found is None else WorkerUnfit(found)

    def _away(self, error: Exception) -> StoreAway | None:
        if self._store is None:
            return None
        try:
            reasons = map(self._store.outage_in, _chain(error))
            reason = next((reason for reason in reasons if reason is not None), None)
        except BaseException:  # noqa: BLE001 - code of the skill's exceptions ran here
            return None
        return None if reason is None else StoreAway(f"the artifact store is unavailable: {reason}")


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
