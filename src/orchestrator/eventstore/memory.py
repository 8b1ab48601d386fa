"""The log without a database, for tests of what stands on it. It passes the same suite as the real one."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import Event
from orchestrator.eventstore.append import Inline
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded


class MemoryLog:
    """Streams in a dict, the log in a list; events go through the same codec.

    `apply_inline` is called with the inline rows of each append, as the SQL function of that name is.
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
        places = self._streams.setdefault(stream_id, [])
        if len(places) != expected_version:
            raise VersionConflict(f"stream {stream_id} is at version {len(places)}, not {expected_version}")
        first = len(self._log) + 1
        self._log.extend(stored)
        places.extend(range(first, len(self._log) + 1))
        if inline and self._apply_inline is not None:
            self._apply_inline(inline)
        return first

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
