"""The lobby: who waits until somebody has looked up what they show. Callers that are known already never wait there."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.access.errors import TooManyUnknown
from orchestrator.access.failed_attempts import source_of

MAX_WAITING = 200
MAX_WAITING_OF_SOURCE = 100


class Lobby:
    """Counts the credentials that are being looked up, in all and for each source. Belongs to one event loop.

    The same credentials count once, however many requests show them: they are looked up once.
    """

    def __init__(self, max_waiting: int = MAX_WAITING, max_of_source: int = MAX_WAITING_OF_SOURCE) -> None:
        self._max_waiting = max_waiting
        self._max_of_source = max_of_source
        self._waiting = 0
        self._sources: dict[str, dict[str, int]] = {}

    @contextmanager
    def seat(self, source: str, shown: str) -> Iterator[None]:
        """Wait here while something that a source (its address) shows is looked up.

        Raises:
            TooManyUnknown: there is no room.
        """
        source = source_of(source)
        seats = self._sources.get(source, {})
        if shown not in seats and (self._waiting >= self._max_waiting or len(seats) >= self._max_of_source):
            raise TooManyUnknown("too many credentials that are not known yet are being checked; try again")
        self._sources[source] = seats
        if shown not in seats:
            self._waiting += 1
        seats[shown] = seats.get(shown, 0) + 1
        try:
            yield
        finally:
            seats[shown] -= 1
            if not seats[shown]:
                del seats[shown]
                self._waiting -= 1
                if not seats:
                    del self._sources[source]
