"""The log without a database, for tests of code that uses it. It passes the same test suite as the Postgres log."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import Event
from orchestrator.eventstore.append import Inline
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded


class MemoryLog:
    """Keeps the log in a list and the streams in a dict; events go through the same codec.

    `apply_inline` is called with the inline rows of each append, like the SQL function of the same name.
    """

    def __init__(self, mapper: EventMapper | None = None, apply_inline: Callable[[Inline], None] | None = None) -> None:
        self.mapper = mapper or EventMapper()
        self._apply_inline = apply_inline
        self._log: list[StoredEvent] = []
        self._streams: dict[str, list[int]] = {}

    async def append(
        self,
        stream_id: str,
        expected_version: int,
        events: Sequence[Event],
        *,
        tenant: str,
        actor: str,
        inline: Inline | None = None,
    ) -> int:
        """Append events; see `EventLog.append`."""
        stream = UUID(stream_id)
        stored = [
            self.mapper.store(stream, version, event, tenant, actor)
            for version, event in enumerate(events, expected_version + 1)
        ]
        await asyncio.sleep(0)
        try:
            return self.insert(stored, inline)
        except IntegrityError as error:
            raise VersionConflict(str(error)) from error

    def insert(self, stored: Sequence[StoredEvent], inline: Inline | None) -> int:
        """Append events of any number of streams, all or none, and return the position of the first. Synchronous.

        Raises:
            eventsourcing.persistence.IntegrityError: a version does not follow the last version of its stream.
        """
        lengths: dict[str, int] = {}
        for event in stored:
            stream_id = str(event.originator_id)
            length = lengths.get(stream_id, len(self._streams.get(stream_id, ())))
            if event.originator_version != length + 1:
                raise IntegrityError(f"stream {stream_id} is at version {length}, not {event.originator_version - 1}")
            lengths[stream_id] = length + 1
        first = len(self._log) + 1
        for event in stored:
            self._log.append(event)
            self._streams.setdefault(str(event.originator_id), []).append(len(self._log))
        if inline and self._apply_inline is not None:
            self._apply_inline(inline)
        return first

    def stored(self, stream_id: str, after_version: int = 0) -> list[tuple[StoredEvent, int]]:
        """Return the stored events of a stream after a version, each with its position."""
        positions = self._streams.get(stream_id, [])[after_version:]
        return [(self._log[position - 1], position) for position in positions]

    def read(self, stream_id: str, after_version: int = 0, limit: int | None = None) -> list[Recorded]:
        """Return a stream's events; see `EventLog.read`."""
        end = None if limit is None else after_version + limit
        return [self._recorded(position) for position in self._streams.get(stream_id, [])[after_version:end]]

    def read_log(self, after_position: int, limit: int) -> list[Recorded]:
        """Return events of the whole log; see `EventLog.read_log`."""
        end = min(after_position + limit, len(self._log))
        return [self._recorded(position) for position in range(after_position + 1, end + 1)]

    def last_position(self) -> int:
        """Return the newest position; see `EventLog.last_position`."""
        return len(self._log)

    def _recorded(self, position: int) -> Recorded:
        stored = self._log[position - 1]
        return self.mapper.recorded(
            Notification(stored.originator_id, stored.originator_version, stored.topic, stored.state, position)
        )
