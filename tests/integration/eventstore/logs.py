"""Logs on a test's database, and events to put into them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from uuid_utils import uuid7

from orchestrator.domain.events import RunCancelled, RunStarted
from orchestrator.eventstore.log import EventLog, PostgresLog
from orchestrator.eventstore.log_session import LogSession
from orchestrator.eventstore.mapper import EventMapper
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.writer import OnCommit, Writer
from orchestrator.postgres.database import Database
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.sql import load_sql

SQL = load_sql(__file__)


@contextmanager
def open_database(url: str, **options: int) -> Iterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def open_log(
    url: str,
    *,
    session: Callable[[LoopSession], LogSession] = LogSession,
    mapper: EventMapper | None = None,
    on_commit: OnCommit | None = None,
    **options: int,
) -> Iterator[PostgresLog]:
    """A log with a writer of its own; closed at the end, whatever state the test left it in."""
    with open_database(url, **options) as database:
        writer = Writer(lambda: session(database.loop_session()), on_commit)
        try:
            yield PostgresLog(LogRecorder(database), mapper or EventMapper(), writer)
        finally:
            writer.close()


def new_stream() -> str:
    return str(uuid7())


def started(worker: str) -> RunStarted:
    return RunStarted(1, worker)


def stored(stream_id: str, version: int = 1, note: str = "") -> StoredEvent:
    """An event as the recorder takes it."""
    return EventMapper().store(UUID(stream_id), version, RunCancelled(1, note, "ann"), "t", "a")


async def append(log: EventLog, stream_id: str, version: int, *workers: str) -> int:
    """Append a `RunStarted` for each worker."""
    return await log.append(stream_id, version, [started(worker) for worker in workers], tenant="t", actor="a")


def workers_of(history: Sequence[Recorded]) -> list[str]:
    """What `append` wrote, in the order it was read."""
    return [recorded.event.worker for recorded in history if isinstance(recorded.event, RunStarted)]


def follow(log: EventLog, after_position: int, limit: int = 1000) -> tuple[list[Recorded], int]:
    """What any follower of the log does: read on from the last position it saw; returns that of the next time."""
    batch = log.read_log(after_position, limit)
    return batch, batch[-1].position if batch else after_position
