"""A session that runs directly on the event loop, without threads.

Passing a statement to a thread and its result back takes as long as a commit: two threads must be woken up and must
acquire the interpreter lock. Here the loop sends the statement itself, and runs other tasks until the socket is
readable.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import DictRow

from orchestrator.postgres.connect import BoundedConnection
from orchestrator.postgres.session import Open, Statement, answered
from orchestrator.postgres.unavailable import DatabaseUnavailable, is_unavailable, unavailable

T = TypeVar("T")


class LoopSession:
    """One connection for one event loop, opened on first use and reopened after it was lost.

    Args:
        open_connection: opens a connection; called in a thread.
        answer_seconds: how long the server may take to answer before the connection is closed.
        prepares: whether statements are prepared, which a pooler that shares sessions does not allow.
    """

    def __init__(self, open_connection: Open, answer_seconds: float, *, prepares: bool = True) -> None:
        self._open = open_connection
        self._prepares = prepares
        self._answer_seconds = answer_seconds
        self._lock = asyncio.Lock()
        self._connection: BoundedConnection[DictRow] | None = None
        self._prepared: dict[bytes, list[int]] = {}
        self._opening: _Opening | None = None
        self._results_pending = False
        self._ready: asyncio.Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a statement is running, so that another one would have to wait."""
        return self._lock.locked()

    async def run(self, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        """Run a statement in its own transaction and return the result, with values in binary form.

        Cancelling does not undo the statement.

        Raises:
            DatabaseUnavailable: the connection failed, the server gave up or did not answer in time; the statement
                may have taken effect.
            psycopg.Error: the server refused the statement; it had no effect.
        """
        async with self._lock:
            pgconn = (self._connection or await self._connect()).pgconn
            timer = asyncio.get_running_loop().call_later(self._answer_seconds, self._give_up)
            try:
                if self._results_pending:  # of a call that was cancelled
                    await self._results(pgconn)
                sent: Any = values  # psycopg's annotation does not allow None, which means NULL
                if self._prepares:
                    formats = await self._prepare(pgconn, statement)
                    pgconn.send_query_prepared(statement.name.encode(), sent, formats, pq.Format.BINARY)
                else:
                    text, oids, formats = statement.text.encode(), statement.oids, statement.formats
                    pgconn.send_query_params(text, sent, oids, formats, pq.Format.BINARY)
                return answered((await self._results(pgconn))[-1])
            except (psycopg.Error, DatabaseUnavailable) as error:
                if not is_unavailable(error):
                    raise
                self.close()  # a server that shuts down reports it before libpq notices the lost connection
                raise unavailable(error) from error
            finally:
                timer.cancel()
                if pgconn.status != pq.ConnStatus.OK:
                    self.close()

    def close(self) -> None:
        """Close the connection; the next `run` opens a new one. Call it on the loop's thread or after the loop stopped.

        A pending call raises DatabaseUnavailable.
        """
        self._close("the connection was closed")

    def _give_up(self) -> None:
        self._close(f"no answer from the database within {self._answer_seconds:g} s")

    def _close(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        self._prepared.clear()
        self._results_pending = False
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.give_up()
        if connection is not None:
            if self._ready is not None:
                self._stop_listening(connection.pgconn.socket, reason)
            connection.close()

    async def _connect(self) -> BoundedConnection[DictRow]:
        """Open the connection in a thread, because that takes time. If the call is cancelled, the next one uses it."""
        opening = self._opening
        if opening is None:
            opening = self._opening = _Opening(self._open)
            opening.future = _in_thread(opening.run)
        try:
            connection = await asyncio.shield(opening.future)
        except Exception:
            self._opening = None
            raise
        if self._opening is not opening:
            raise DatabaseUnavailable("the connection was closed")
        self._opening, self._connection = None, connection
        return connection

    async def _prepare(self, pgconn: PGconn, statement: Statement) -> list[int]:
        name = statement.name.encode()
        formats = self._prepared.get(name)
        if formats is None:
            formats = self._prepared[name] = statement.formats
            pgconn.send_prepare(name, statement.text.encode(), statement.oids)
            answered((await self._results(pgconn))[-1])
        return formats

    async def _results(self, pgconn: PGconn) -> list[PGresult]:
        """Wait for all remaining results of the last statement that was sent.

        Received data is processed before each wait: everything may already have been read while sending, and then the
        socket does not become readable again.
        """
        self._results_pending = True
        while pgconn.flush():
            await self._listen(pgconn.socket, until_writable=True)
            pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    self._results_pending = False
                    return results
                results.append(result)
            await self._listen(pgconn.socket)
            pgconn.consume_input()

    async def _listen(self, descriptor: int, *, until_writable: bool = False) -> None:
        """Wait until the socket is readable, or with `until_writable`, readable or writable."""
        loop = asyncio.get_running_loop()
        self._ready = ready = loop.create_future()
        loop.add_reader(descriptor, _set, ready)
        if until_writable:
            loop.add_writer(descriptor, _set, ready)
        try:
            await ready
        finally:
            if self._ready is ready:
                self._ready = None
                loop.remove_reader(descriptor)
                loop.remove_writer(descriptor)

    def _stop_listening(self, descriptor: int, reason: str) -> None:
        """Stop watching the descriptor before it is closed, because its number may be reused soon."""
        ready, self._ready = self._ready, None
        if ready is None or (loop := ready.get_loop()).is_closed():
            return
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        if not ready.done():
            ready.set_exception(DatabaseUnavailable(reason))


class _Opening:
    """A connection that is being opened in a thread. Its caller may be cancelled, and its loop closed, before that."""

    future: "asyncio.Future[BoundedConnection[DictRow]]"

    def __init__(self, open_connection: Open) -> None:
        self._open = open_connection
        self._lock = threading.Lock()
        self._opened: BoundedConnection[DictRow] | None = None
        self._given_up = False

    def run(self) -> BoundedConnection[DictRow]:
        """Open the connection; raises DatabaseUnavailable."""
        connection = self._open()
        with self._lock:
            if not self._given_up:
                self._opened = connection
                return connection
        connection.close()
        raise DatabaseUnavailable("the connection was closed")

    def give_up(self) -> None:
        """Close the connection, immediately or as soon as it is open."""
        with self._lock:
            self._given_up = True
            if self._opened is not None:
                self._opened.close()


def _in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Call a function in a new thread: the threads of the loop's executor may all be busy with user code."""
    called: Future[T] = Future()

    def call() -> None:
        try:
            called.set_result(function())
        except BaseException as error:  # noqa: BLE001 - carried by the future
            called.set_exception(error)

    threading.Thread(target=call, name="connect", daemon=True).start()
    awaited = asyncio.wrap_future(called)
    awaited.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may have no waiter any more
    return awaited


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
