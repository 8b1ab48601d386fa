"""Limits how many unknown credentials are looked up at the same time. Known callers never wait here."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.access.errors import TooManyUnknown
from orchestrator.access.failed_attempts import source_of

MAX_WAITING = 200
MAX_WAITING_OF_SOURCE = 100


class PendingLookups:
    """Counts the credentials that are being looked up, in total and per source. Belongs to one event loop.

    Credentials count once, however many requests carry them, because they are looked up once.
    """

    def __init__(self, max_waiting: int = MAX_WAITING, max_of_source: int = MAX_WAITING_OF_SOURCE) -> None:
        self._max_waiting = max_waiting
        self._max_of_source = max_of_source
        self._waiting = 0
        self._sources: dict[str, dict[str, int]] = {}

    @contextmanager
    def waiting(self, source: str, shown: str) -> Iterator[None]:
        """Count the credentials `shown`, sent by the address `source`, until the end of the `with` block.

        Raises:
            TooManyUnknown: too many are being looked up, in total or for this source.
        """
        source = source_of(source)
        pending = self._sources.get(source, {})
        if shown not in pending and (self._waiting >= self._max_waiting or len(pending) >= self._max_of_source):
            raise TooManyUnknown("too many unknown credentials are being checked; try again")
        self._sources[source] = pending
        if shown not in pending:
            self._waiting += 1
        pending[shown] = pending.get(shown, 0) + 1
        try:
            yield
        finally:
            pending[shown] -= 1
            if not pending[shown]:
                del pending[shown]
                self._waiting -= 1
                if not pending:
                    del self._sources[source]
