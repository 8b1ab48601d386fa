"""A connection of its own for a statement that runs all the time.

The statement is prepared once and sent with parameters that are in the server's form already. What a cursor does
besides, for each statement (adapting, waiting in Python, rows), is three times the work of an append's client.
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
    """A statement with parameters `$1`, `$2`, ... of these types (`int8`, `text[]`). Its name is its own in a session.

    JSON is sent as text, everything else in binary form; see `arrays`.
    """

    name: str
    text: str
    types: Sequence[str]

    @property
    def oids(self) -> list[int]:
        """The server's numbers for the types."""
        found = ((adapters.types[name.removesuffix("[]")], name.endswith("[]")) for name in self.types)
        return [info.array_oid if is_array else info.oid for info, is_array in found]

    @property
    def formats(self) -> list[int]:
        """How each value is sent."""
        return [pq.Format.TEXT if name in _TEXTUAL else pq.Format.BINARY for name in self.types]


Execute = Callable[[Statement, Sequence[bytes | None]], PGresult]
"""Runs a statement with these values."""


class Session:
    """One connection, opened when it is first needed and anew after it was lost. Safe to use from several threads."""

    def __init__(self, open_connection: Open) -> None:
        self._open = open_connection
        self._lock = threading.Lock()
        self._connection: BoundedConnection[DictRow] | None = None
        self._prepared: dict[bytes, list[int]] = {}

    def run(self, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        """Run a statement in a transaction of its own and return the answer, its values in binary form.

        Raises:
            DatabaseUnavailable: the connection failed or the server gave up; it may have been done all the same.
            psycopg.Error: the server refused; nothing was done.
        """
        with self._connected() as connection:
            return self._run(connection, statement, values)

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Yield what runs statements in one transaction, like `run`; it is committed at the end, undone by an error."""
        with self._connected() as connection, connection.transaction():
            yield lambda statement, values: self._run(connection, statement, values)

    @contextmanager
    def _connected(self) -> Iterator[BoundedConnection[DictRow]]:
        """Lend the connection to one thread at a time, and let go of it when it is broken or may be."""
        with self._lock:
            connection = self._connection
            try:
                if connection is None:
                    connection = self._connection = self._open()
                yield connection
            except Exception as error:
                if not is_unavailable(error):
                    raise
                self._drop()  # a server that goes says so before libpq notices that it has gone
                raise unavailable(error) from error
            finally:
                if connection is not None and connection.pgconn.status != pq.ConnStatus.OK:
                    self._drop()

    def _run(
        self, connection: BoundedConnection[DictRow], statement: Statement, values: Sequence[bytes | None]
    ) -> PGresult:
        name, pgconn = statement.name.encode(), connection.pgconn
        try:
            formats = self._prepared.get(name)
            if formats is None:
                pgconn.send_prepare(name, statement.text.encode(), statement.oids)
                answered(connection.wait(generators.execute(pgconn))[-1])
                formats = self._prepared[name] = statement.formats
            sent: Any = values  # whose annotation leaves out that None stands for NULL
            pgconn.send_query_prepared(name, sent, formats, pq.Format.BINARY)
            return answered(connection.wait(generators.execute(pgconn))[-1])
        except psycopg.Error as error:
            if not is_unavailable(error):
                raise
            raise unavailable(error) from error  # here, and not at the end of the transaction: see `BoundedConnection`

    def close(self) -> None:
        """Close the connection; another `run` opens one again. One that is in use for longer is left to its user."""
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
    """Run a statement on a connection that somebody lent, without preparing it; raises what `Session.run` does."""
    sent: Any = values
    pgconn = connection.pgconn
    pgconn.send_query_params(statement.text.encode(), sent, statement.oids, statement.formats, pq.Format.BINARY)
    return answered(connection.wait(generators.execute(pgconn))[-1])


def answered(result: PGresult) -> PGresult:
    """Return a result that is an answer; raise what it is otherwise.

    Raises:
        DatabaseUnavailable: it means that the database is unavailable.
        psycopg.Error: the server refused.
    """
    if result.status in _ANSWERED:
        return result
    if result.error_field(pq.DiagnosticField.SQLSTATE) is None:  # it is libpq's own: the connection is gone
        raise DatabaseUnavailable(result.error_message.decode(errors="replace").strip())
    error = error_from_result(result)
    if is_unavailable(error):
        raise unavailable(error) from error
    raise error
