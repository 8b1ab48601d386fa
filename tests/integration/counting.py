"""A database that counts how often it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.postgres.database import Connection, Database


class CountingDatabase(Database):
    """Counts how often a connection was lent."""

    lent = 0

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        self.lent += 1
        with super().connection() as connection:
            yield connection
