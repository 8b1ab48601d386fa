"""The newest events of the log, as this process wrote them.

A projector in the same process as the writer follows it closely. It does not need to fetch and decode what was just
encoded and appended, as long as no other process has appended in between.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventsourcing.persistence import StoredEvent

from orchestrator.domain.events import Event
from orchestrator.eventstore.recorded import Recorded

_MAX_BYTES = 16 << 20


class LogTail:
    """A buffer of consecutive events for one reader. Thread-safe: one thread may write while another reads.

    It drops the events that the reader has passed, and all events when another process has appended or the reader
    falls more than `max_bytes` of stored events behind.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._events: list[Recorded] = []
        self._sizes: list[int] = []
        self._bytes = 0
        self.is_followed = False

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Keep what is added until the end of the block; outside of one, nothing is kept."""
        self.is_followed = True
        try:
            yield
        finally:
            self.is_followed = False
            with self._lock:
                self._drop(len(self._events))

    def add(
        self, position: int, stored: Sequence[StoredEvent], events: Sequence[Event], tenant: str, actor: str
    ) -> None:
        """Add events of one stream that are in the log, the first of them at `position`, if the tail is followed."""
        if not self.is_followed:
            return
        stream_id = str(stored[0].originator_id)
        recorded = [
            Recorded(stream_id, one.originator_version, position + number, tenant, actor, event)
            for number, (one, event) in enumerate(zip(stored, events, strict=True))
        ]
        sizes = [len(one.state) for one in stored]
        with self._lock:
            if self._bytes > self._max_bytes or (self._events and self._events[-1].position + 1 != position):
                self._drop(len(self._events))
            self._events += recorded
            self._sizes += sizes
            self._bytes += sum(sizes)

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events after a position; empty when the next event is not in the buffer."""
        with self._lock:
            held = self._events
            if not held or not held[0].position <= after + 1 <= held[-1].position:
                return []
            self._drop(after + 1 - held[0].position)
            return held[:limit]

    def _drop(self, count: int) -> None:
        self._bytes -= sum(self._sizes[:count])
        del self._events[:count], self._sizes[:count]
