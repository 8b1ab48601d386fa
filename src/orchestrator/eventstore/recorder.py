"""The append: the library's Postgres recorder with one round trip of typed arrays in the place of its insert.

The library's own insert locks the table, sends composite values row by row through pipeline mode and takes
ids from a sequence; ours is one call of `append_events` (see migration 0001), whose lock keeps position
order equal to commit order without gaps.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from orchestrator.eventstore.database import Database
from orchestrator.eventstore.sql import load_sql

_SQL = load_sql(__file__)


class LogRecorder(PostgresApplicationRecorder):
    """Appends to and reads from `orchestrator.events`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.datastore, events_table_name="events")
        self._database = database

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events of any number of streams in one transaction and return their positions.

        Args:
            stored_events: in the order they shall stand in the log.
            kwargs: `inline`, the rows of inline read models as JSON text or None.

        Raises:
            eventsourcing.persistence.IntegrityError: a version is taken; nothing was written.
            eventsourcing.persistence.OperationalError: the connection failed; whether it was written is unknown.
        """
        if not stored_events:
            return []
        with self._database.connection() as connection:
            row = connection.execute(
                _SQL.append,
                (
                    [event.originator_id for event in stored_events],
                    [event.originator_version for event in stored_events],
                    [event.topic for event in stored_events],
                    [event.state for event in stored_events],
                    kwargs.get("inline"),
                ),
                prepare=True,
                binary=True,
            ).fetchone()
        first: int = row["first_position"] if row else 0
        return range(first, first + len(stored_events))

    def read_stream(self, stream_id: UUID, after_version: int = 0, limit: int | None = None) -> list[Notification]:
        """Return a stream's events after a version, in order, all of them or up to `limit`."""
        return self._select(_SQL.read_stream, (stream_id, after_version, limit))

    def read_streams(self, stream_ids: Sequence[UUID]) -> list[Notification]:
        """Return the events of several streams, stream by stream, each in order."""
        return self._select(_SQL.read_streams, (list(stream_ids),))

    def read_log(self, after_position: int, limit: int) -> list[Notification]:
        """Return up to `limit` events after a position of the whole log, in order."""
        return self._select(_SQL.read_log, (after_position, limit))

    def mend(self) -> None:
        """Get rid of broken connections after a failure."""
        self._database.mend()

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for an empty log."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL.last_position).fetchone()
        return int(row["position"]) if row else 0

    def _select(self, statement: str, parameters: tuple[object, ...]) -> list[Notification]:
        with self._database.connection() as connection:
            rows = connection.execute(statement, parameters, prepare=True, binary=True).fetchall()
        return [
            Notification(
                row["originator_id"], row["originator_version"], row["topic"], row["state"], row["notification_id"]
            )
            for row in rows
        ]
