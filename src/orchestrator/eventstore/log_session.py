"""Access to the log through a connection of one event loop: what the writer needs, without threads."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent

from orchestrator.postgres.arrays import bigint, bigint_array, bytea_array, text_array, to_bigint, uuid_array
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.session import Statement
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
APPEND = Statement("append", _SQL.append, ("uuid[]", "int8[]", "text[]", "bytea[]", "jsonb"))
_READ = Statement("read_stream", _SQL.read_stream, ("uuid", "int8"))


def append_values(stored: Sequence[StoredEvent], inline: str | None) -> tuple[bytes | None, ...]:
    """Return the parameters of the statement `APPEND`."""
    return (
        uuid_array([event.originator_id for event in stored]),
        bigint_array([event.originator_version for event in stored]),
        text_array([event.topic for event in stored]),
        bytea_array([event.state for event in stored]),
        None if inline is None else inline.encode(),
    )


class LogSession:
    """Appends to and reads from `orchestrator.events`."""

    def __init__(self, session: LoopSession) -> None:
        self._session = session

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        """Append events in one transaction and return the position of the first; see `AppendSession`."""
        try:
            answer = await self._session.run(APPEND, append_values(stored, inline))
        except psycopg.IntegrityError as error:
            raise IntegrityError(str(error)) from error
        return to_bigint(answer.get_value(0, 0))

    async def read(self, stream_id: UUID, after_version: int) -> list[tuple[StoredEvent, int]]:
        """Return the events of a stream after a version, each with its position; see `AppendSession`."""
        answer = await self._session.run(_READ, (stream_id.bytes, bigint(after_version)))
        found = []
        for row in range(answer.ntuples):
            version, topic, state, position = (answer.get_value(row, column) or b"" for column in range(4))
            event = StoredEvent(stream_id, to_bigint(version), topic.decode(), state)
            found.append((event, to_bigint(position)))
        return found

    def close(self) -> None:
        """Close the connection; a pending call raises DatabaseUnavailable."""
        self._session.close()
