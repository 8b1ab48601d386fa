"""The turn: only one process at a time archives, deletes or prunes."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)


class RetentionRunning(Exception):
    """Another process is archiving runs, deleting a run or pruning artifacts."""


@contextmanager
def exclusively(database: Database) -> Iterator[None]:
    """Keep other processes from archiving, deleting and pruning meanwhile.

    Raises:
        RetentionRunning: another process is doing one of these.
    """
    with database.own_session() as guard:
        row = guard.execute(_SQL.take).fetchone()
        if row is None or not row["locked"]:
            raise RetentionRunning(
                "another process is archiving runs, deleting a run or pruning artifacts; try again when it is finished"
            )
        try:
            yield
        finally:
            guard.execute(_SQL.give_back)
