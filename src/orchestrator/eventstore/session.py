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
from psycopg import adapters, pq
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn, PGresult

Open = Callable[[], "psycopg.Connection[dict[str, object]]"]
"""Opens a connection in autocommit mode."""

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
        self._connection: psycopg.Connection[dict[str, object]] | None = None
        self._prepared: dict[bytes, list[int]] = {}

    def run(self, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        """Run a statement in a transaction of its own and return the answer, its values in binary form.

        Raises:
            psycopg.OperationalError: the connection failed or the server gave up; it may have been done all the same.
            psycopg.Error: the server refused; nothing was done.
        """
        with self._connected() as pgconn:
            return self._run(pgconn, statement, values)

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Yield what runs statements in one transaction, like `run`; it is committed at the end, undone by an error."""
        with self._connected() as pgconn:
            answered(pgconn.exec_(b"BEGIN"))
            try:
                yield lambda statement, values: self._run(pgconn, statement, values)
            except BaseException:
                pgconn.exec_(b"ROLLBACK")  # if that fails, the connection is gone and so is what was done
                raise
            answered(pgconn.exec_(b"COMMIT"))

    @contextmanager
    def _connected(self) -> Iterator[PGconn]:
        """Lend the connection to one thread at a time, and let go of it when it is broken or may be."""
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            pgconn = self._connection.pgconn
            try:
                yield pgconn
            except psycopg.OperationalError:
                self._drop()  # a server that goes says so before libpq notices that it has gone
                raise
            finally:
                if pgconn.status != pq.ConnStatus.OK:
                    self._drop()

    def _run(self, pgconn: PGconn, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        name = statement.name.encode()
        formats = self._prepared.get(name)
        if formats is None:
            answered(pgconn.prepare(name, statement.text.encode(), statement.oids))
            formats = self._prepared[name] = statement.formats
        sent: Any = values  # whose annotation leaves out that None stands for NULL
        return answered(pgconn.exec_prepared(name, sent, formats, pq.Format.BINARY))

    def close(self) -> None:
        """Close the connection; another `run` opens one again."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._prepared.clear()
        if connection is not None:
            connection.close()


def answered(result: PGresult) -> PGresult:
    """Return a result that is an answer; raise what it is otherwise."""
    if result.status in _ANSWERED:
        return result
    if result.error_field(pq.DiagnosticField.SQLSTATE) is None:  # it is libpq's own: the connection is gone
        raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
    raise error_from_result(result)
