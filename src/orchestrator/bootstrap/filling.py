"""Build only what a process that fills a read model needs, so that it starts immediately."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.log_session import LogSession
from orchestrator.eventstore.mapper import build_mapper
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.eventstore.writer import OnCommit, Writer
from orchestrator.postgres.database import Database
from orchestrator.projections.rebuild.filling import Source
from orchestrator.workflows.registry import WorkflowRegistry


def build_writer(
    database: Database, on_commit: OnCommit | None = None, max_wait_seconds: float | None = None
) -> Writer:
    """Return the writer that appends to the log. It connects at the first append."""
    return Writer(lambda: LogSession(database.loop_session()), on_commit, max_wait_seconds=max_wait_seconds)


@contextmanager
def open_source(
    conninfo: str, direct: str | None = None, *, compress: bool, cipher_key: str | None
) -> Iterator[Source]:
    """Open the log of a migrated database for reading; for `direct`, see `Database`."""
    database = Database(conninfo, direct=direct, pool_size=2)
    recorder = LogRecorder(database)
    mapper = build_mapper(compress=compress, cipher_key=cipher_key)
    try:
        log = PostgresLog(recorder, mapper, build_writer(database))
        yield Source(database, log, WorkflowRegistry(log, database).get)
    finally:
        database.close()
