"""The recorder: the library's Postgres recorder, with its insert replaced by one round trip with typed arrays.

The library's own insert locks the table, sends composite values row by row in pipeline mode, and takes ids from a
sequence. Ours is one call of `append_events` (see migration 0001), whose lock makes the order of positions equal to
the order of commits, without gaps.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, Notification, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.rows import tuple_row

from orchestrator.domain.events import EVENTS_OUTSIDE_RUNS
from orchestrator.eventstore.codec import CODECS
from orchestrator.eventstore.log_session import APPEND, append_values
from orchestrator.postgres.arrays import to_bigint
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)

EventRow = tuple[UUID, int, str, bytes, int]
"""An event as a row of the table: stream, version, name, state, position."""

RunRow = tuple[str, int, str, bytes, int]
"""The same, with the stream as text."""

_OTHER_STREAMS = tuple(event.__name__ for event in EVENTS_OUTSIDE_RUNS)
_STREAMED_ROWS = 2000


class LogRecorder(PostgresApplicationRecorder):
    """Appends to and reads from `orchestrator.events`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.datastore, events_table_name="events")
        self._database = database
        self._session = database.session()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events of any number of streams in one transaction and return their positions.

        Args:
            stored_events: the events, in the order they get in the log.
            kwargs: `inline`, the rows of inline read models as JSON text, or None.

        Raises:
            eventsourcing.persistence.IntegrityError: a version already exists; nothing was written.
            DatabaseUnavailable: the connection failed; whether the events were written is unknown.
        """
        if not stored_events:
            return []
        try:
            answer = self._session.run(APPEND, append_values(stored_events, kwargs.get("inline")))
        except psycopg.IntegrityError as error:
            raise IntegrityError(str(error)) from error
        first = to_bigint(answer.get_value(0, 0))
        return range(first, first + len(stored_events))

    def read_stream(self, stream_id: UUID, after_version: int = 0, limit: int | None = None) -> list[Notification]:
        """Return a stream's events after a version, in order, all of them or up to `limit`."""
        return _notifications(self.stream_rows(stream_id, after_version, limit))

    def read_streams(self, stream_ids: Sequence[UUID]) -> list[Notification]:
        """Return the events of several streams, stream by stream, each in order."""
        return _notifications(self._rows(_SQL.read_streams, (list(stream_ids),)))

    def read_log(self, after_position: int, limit: int) -> list[Notification]:
        """Return up to `limit` events after a position of the whole log, in order."""
        return _notifications(self.log_rows(after_position, limit))

    def stream_rows(self, stream_id: UUID, after_version: int = 0, limit: int | None = None) -> list[EventRow]:
        """Return the same as `read_stream`, as rows."""
        return self._rows(_SQL.read_stream, (stream_id, after_version, limit))

    def part_rows(
        self, stream_id: UUID, edge: int, limit: int, *, backwards: bool, topics: Sequence[str] | None
    ) -> list[EventRow]:
        """Return up to `limit` rows of a stream after version `edge`, or backwards from those before it.

        With `topics`, only rows with these names of events.
        """
        names = None if topics is None else list(topics)
        wanted = {"stream_id": stream_id, "edge": edge, "topics": names, "limit": limit}
        return self._rows(_SQL.read_before if backwards else _SQL.read_after, wanted)

    def log_rows(self, after_position: int, limit: int) -> list[EventRow]:
        """Return the same as `read_log`, as rows."""
        return self._rows(_SQL.read_log, (after_position, limit))

    def read_range(self, after: int, until: int) -> list[Notification]:
        """Return the events with positions after `after` and up to `until`, in order."""
        return _notifications(self._rows(_SQL.read_range, (after, until)))

    def begun_rows(self, after: int, until: int, goal: int, topics: Sequence[str] | None) -> Iterator[RunRow]:
        """Yield the events of the runs that began in a range of the log, run by run; in any order within a run.

        Args:
            after: the range begins after this position.
            until: the range ends with this position.
            goal: the position of the last event to read.
            topics: stored names of the events to read, in addition to the last event of each run and to events with
                a name that this program does not know; None reads all.
        """
        parameters: dict[str, Any] = {"after": after, "until": until, "goal": goal, "others": list(_OTHER_STREAMS)}
        statement = _SQL.read_begun
        if topics is not None:
            parameters |= {"topics": list(topics), "known": list(CODECS)}
            statement = _SQL.read_begun_topics
        lent = self._database.transaction(bounded=False)
        with lent as connection, connection.cursor(row_factory=tuple_row) as cursor:
            rows: Iterator[Any] = cursor.stream(statement, parameters, binary=True, size=_STREAMED_ROWS)
            yield from rows

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for an empty log."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.last_position).fetchone()
        return int(row["position"]) if row else 0

    def _rows(self, statement: str, parameters: tuple[object, ...] | Mapping[str, object]) -> list[EventRow]:
        with self._database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            rows: list[Any] = cursor.execute(statement, parameters, prepare=True, binary=True).fetchall()
        return rows


def _notifications(rows: Sequence[EventRow]) -> list[Notification]:
    return [Notification(*row) for row in rows]
