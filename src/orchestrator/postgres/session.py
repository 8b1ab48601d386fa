"""A dedicated connection for frequent statements.

Each statement is prepared once and sent with parameters in the server's own format. The additional work of a cursor
for each statement (adapting, waiting in Python, building rows) is three times the client's work for an append.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import adapters, generators, pq
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow

from orchestrator.postgres.connect import BoundedConnection
from orchestrator.postgres.unavailable import DatabaseUnavailable, is_unavailable, unavailable

Open = Callable[[], BoundedConnection[DictRow]]
"""Opens a connection in autocommit mode; raises DatabaseUnavailable."""

_CLOSE_SECONDS = 5.0
_TEXTUAL = ("json", "jsonb")
_ANSWERED = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with parameters `$1`, `$2`, ... of these types (`int8`, `text[]`).

    The name must be unique in a session. JSON is sent as text, everything else in binary form; see `arrays`.
    """

    name: str
    text: str
    types: Sequence[str]

    @property
    def oids(self) -> list[int]:
        """The server's OIDs of the types."""
        found = ((adapters.types[name.removesuffix("[]")], name.endswith("[]")) for name in self.types)
        return [info.array_oid if is_array else info.oid for info, is_array in found]

    @property
    def formats(self) -> list[int]:
        """The wire format of each value."""
        return [pq.Format.TEXT if name in _TEXTUAL else pq.Format.BINARY for name in self.types]


Execute = Callable[[Statement, Sequence[bytes | None]], PGresult]
"""Runs a statement with these values."""


class Session:
    """One connection, opened on first use and reopened after it was lost. Thread-safe.

    Args:
        open_connection: opens a connection.
        prepares: whether statements are prepared, which a pooler that shares sessions does not allow.
    """

    def __init__(self, open_connection: Open, *, prepares: bool = True) -> None:
        self._open = open_connection
        self._prepares = prepares
        self._lock = threading.Lock()
        self._connection: BoundedConnection[DictRow] | None = None
        self._prepared: dict[bytes, list[int]] = {}

    def run(self, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        """Run a statement in its own transaction and return the result, with values in binary form.

        Raises:
            DatabaseUnavailable: the connection failed or the server gave up; the statement may have taken effect.
            psycopg.Error: the server refused the statement; it had no effect.
        """
        with self._connected() as connection:
            return self._run(connection, statement, values)

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Yield a function like `run` for one transaction, which is committed at the end or rolled back on an error."""
        with self._connected() as connection, connection.transaction():
            yield lambda statement, values: self._run(connection, statement, values)

    @contextmanager
    def _connected(self) -> Iterator[BoundedConnection[DictRow]]:
        """Lend the connection to one thread at a time; close it when it is, or may be, broken."""
        with self._lock:
            connection = self._connection
            try:
                if connection is None:
                    connection = self._connection = self._open()
                yield connection
            except Exception as error:
                if not is_unavailable(error):
                    raise
                self._drop()  # a server that shuts down reports it before libpq notices the lost connection
                raise unavailable(error) from error
            finally:
                if connection is not None and connection.pgconn.status != pq.ConnStatus.OK:
                    self._drop()

    def _run(
        self, connection: BoundedConnection[DictRow], statement: Statement, values: Sequence[bytes | None]
    ) -> PGresult:
        if not self._prepares:
            return run_once(connection, statement, values)
        name, pgconn = statement.name.encode(), connection.pgconn
        try:
            formats = self._prepared.get(name)
            if formats is None:
                pgconn.send_prepare(name, statement.text.encode(), statement.oids)
                answered(connection.wait(generators.execute(pgconn))[-1])
                formats = self._prepared[name] = statement.formats
            sent: Any = values  # psycopg's annotation does not allow None, which means NULL
            pgconn.send_query_prepared(name, sent, formats, pq.Format.BINARY)
            return answered(connection.wait(generators.execute(pgconn))[-1])
        except psycopg.Error as error:
            if not is_unavailable(error):
                raise
            raise unavailable(error) from error  # here, not at the end of the transaction: see `BoundedConnection`

    def close(self) -> None:
        """Close the connection, unless it stays in use for 5 s; the next `run` opens a new one."""
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._prepared.clear()
        if connection is not None:
            connection.close()


def run_once(connection: BoundedConnection[DictRow], statement: Statement, values: Sequence[bytes | None]) -> PGresult:
    """Run a statement on the caller's connection without preparing it; raises what `Session.run` does."""
    sent: Any = values
    pgconn = connection.pgconn
    pgconn.send_query_params(statement.text.encode(), sent, statement.oids, statement.formats, pq.Format.BINARY)
    return answered(connection.wait(generators.execute(pgconn))[-1])


def answered(result: PGresult) -> PGresult:
    """Return a successful result, or raise the error that it contains.

    Raises:
        DatabaseUnavailable: the error means that the database is unavailable.
        psycopg.Error: the server refused the statement.
    """
    if result.status in _ANSWERED:
        return result
    if result.error_field(pq.DiagnosticField.SQLSTATE) is None:  # an error of libpq itself: the connection is lost
        raise DatabaseUnavailable(result.error_message.decode(errors="replace").strip())
    error = error_from_result(result)
    if is_unavailable(error):
        raise unavailable(error) from error
    raise error
