"""A session whose answers an event loop waits for itself, with no thread in between.

To hand a statement to a thread and its answer back takes as long as a commit does: two threads have to be woken, and
to get hold of the interpreter. Here the loop sends, and goes on with others until the socket can be read.
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
    """One connection of one loop, opened when it is first needed and anew after it was lost.

    Args:
        open_connection: opens one; it is called in a thread.
        answer_seconds: how long an answer may take before the connection is given up.
    """

    def __init__(self, open_connection: Open, answer_seconds: float) -> None:
        self._open = open_connection
        self._answer_seconds = answer_seconds
        self._turn = asyncio.Lock()
        self._connection: BoundedConnection[DictRow] | None = None
        self._prepared: dict[bytes, list[int]] = {}
        self._opening: _Opening | None = None
        self._owing = False
        self._ready: asyncio.Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for an answer, so that another one would have to wait for it."""
        return self._turn.locked()

    async def run(self, statement: Statement, values: Sequence[bytes | None]) -> PGresult:
        """Run a statement in a transaction of its own and return the answer, its values in binary form.

        Cancelling does not take it back.

        Raises:
            DatabaseUnavailable: the connection failed, the server gave up or did not answer in time; it may have
                been done all the same.
            psycopg.Error: the server refused; nothing was done.
        """
        async with self._turn:
            pgconn = (self._connection or await self._connect()).pgconn
            timer = asyncio.get_running_loop().call_later(self._answer_seconds, self._give_up)
            try:
                if self._owing:  # to somebody who did not wait for it
                    await self._answers(pgconn)
                formats = await self._prepare(pgconn, statement)
                sent: Any = values  # whose annotation leaves out that None stands for NULL
                pgconn.send_query_prepared(statement.name.encode(), sent, formats, pq.Format.BINARY)
                return answered((await self._answers(pgconn))[-1])
            except (psycopg.Error, DatabaseUnavailable) as error:
                if not is_unavailable(error):
                    raise
                self.close()  # a server that goes says so before libpq notices that it has gone
                raise unavailable(error) from error
            finally:
                timer.cancel()
                if pgconn.status != pq.ConnStatus.OK:
                    self.close()

    def close(self) -> None:
        """Close the connection; another `run` opens one again. On the loop's thread, or once the loop has stopped.

        Whoever waits for an answer gets DatabaseUnavailable.
        """
        self._close("the connection was closed")

    def _give_up(self) -> None:
        self._close(f"no answer from the database within {self._answer_seconds:g} s")

    def _close(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        self._prepared.clear()
        self._owing = False
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.give_up()
        if connection is not None:
            if self._ready is not None:
                self._stop_listening(connection.pgconn.socket, reason)
            connection.close()

    async def _connect(self) -> BoundedConnection[DictRow]:
        """Open the connection in a thread, for that takes a while. Who is cancelled meanwhile leaves it to the next."""
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
            answered((await self._answers(pgconn))[-1])
        return formats

    async def _answers(self, pgconn: PGconn) -> list[PGresult]:
        """Wait for all that is still to come in answer to what was sent last.

        What has come in is looked at before each wait: it may all be here, taken in while there was more to send, and
        then the socket will not be readable again.
        """
        self._owing = True
        while pgconn.flush():
            await self._listen(pgconn.socket, until_writable=True)
            pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    self._owing = False
                    return results
                results.append(result)
            await self._listen(pgconn.socket)
            pgconn.consume_input()

    async def _listen(self, descriptor: int, *, until_writable: bool = False) -> None:
        """Return when the socket can be read, or written when that is waited for."""
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
        """Before the descriptor is closed: its number may soon be another's."""
        ready, self._ready = self._ready, None
        if ready is None or (loop := ready.get_loop()).is_closed():
            return
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        if not ready.done():
            ready.set_exception(DatabaseUnavailable(reason))


class _Opening:
    """A connection that is being opened in a thread. Whoever wanted it may go, and their loop may close meanwhile."""

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
        """Close the connection, now or as soon as it is open."""
        with self._lock:
            self._given_up = True
            if self._opened is not None:
                self._opened.close()


def _in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Call a function in a thread of its own: those of the loop may all be busy with what users gave them."""
    called: Future[T] = Future()

    def call() -> None:
        try:
            called.set_result(function())
        except BaseException as error:  # noqa: BLE001 - carried by the future
            called.set_exception(error)

    threading.Thread(target=call, name="connect", daemon=True).start()
    awaited = asyncio.wrap_future(called)
    awaited.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait any longer
    return awaited


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
