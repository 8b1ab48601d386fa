"""The log: its contract, and the implementation in Postgres. `memory` has the one that needs no database."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from orchestrator.domain.events import Event
from orchestrator.eventstore.append import Inline, merged
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.tail import LogTail
from orchestrator.eventstore.writer import Writer

StoredRow = tuple[str, int, str, bytes]
"""An event as it is stored: stream id, version, name, state."""


class EventLog(Protocol):
    """An append-only log of streams. Reads are synchronous; appends are awaited, since they share a commit."""

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
        """Append events after `expected_version` (0: a new stream) and return the position of the first.

        `inline` holds rows for the inline read models, written in the same transaction.

        Raises:
            VersionConflict: the stream is not at `expected_version`, and nothing was written; or the events were
                written during an outage, and others had already appended after them when that was discovered.
        """

    def read(self, stream_id: str, after_version: int = 0, limit: int | None = None) -> list[Recorded]:
        """Return a stream's events after a version (up to `limit`), in order; empty for an unknown stream."""

    def read_log(self, after_position: int, limit: int) -> list[Recorded]:
        """Return up to `limit` events of all streams after a position, in order and without gaps."""

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for an empty log."""


class PostgresLog:
    """The log in Postgres, written by one writer.

    `tail` holds the events appended here lately, for one reader in this process that follows them.
    """

    def __init__(self, recorder: LogRecorder, mapper: EventMapper, writer: Writer) -> None:
        self.recorder = recorder
        self.mapper = mapper
        self.writer = writer
        self.tail = LogTail()

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
        tail = self.tail
        if not tail.is_followed:
            return await self.writer.append(stored, inline)
        return await self.writer.append(
            stored, inline, lambda position: tail.add(position, stored, events, tenant, actor)
        )

    def read(self, stream_id: str, after_version: int = 0, limit: int | None = None) -> list[Recorded]:
        """Return a stream's events; see `EventLog.read`."""
        stored = self.recorder.read_stream(UUID(stream_id), after_version, limit)
        return [self.mapper.recorded(one) for one in stored]

    def read_part(
        self, stream_id: str, edge: int, limit: int, *, backwards: bool = False, names: Sequence[str] | None = None
    ) -> list[Recorded]:
        """Return up to `limit` events of a stream after version `edge`, or backwards from those before it.

        With `names`, only events of these types, as stored.
        """
        rows = self.recorder.part_rows(UUID(stream_id), edge, limit, backwards=backwards, topics=names)
        return [self.mapper.from_row(*row) for row in rows]

    def read_log(self, after_position: int, limit: int) -> list[Recorded]:
        """Return events of the whole log; see `EventLog.read_log`."""
        return [self.mapper.from_row(*row) for row in self.recorder.log_rows(after_position, limit)]

    def last_position(self) -> int:
        """Return the newest position; see `EventLog.last_position`."""
        return self.recorder.last_position()

    def restore(self, rows: Sequence[StoredRow], inline: Inline) -> int:
        """Append events exactly as they were stored elsewhere, and return the position of the first. Synchronous.

        Raises:
            eventsourcing.persistence.IntegrityError: a version already exists, or an earlier one is missing.
        """
        stored = [StoredEvent(UUID(stream_id), version, name, state) for stream_id, version, name, state in rows]
        return self.recorder.insert_events(stored, inline=merged([inline]))[0]
