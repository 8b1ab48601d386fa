"""Connections to Postgres: a pool, and sessions for what runs all the time. Every statement has a deadline."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg.rows import DictRow, dict_row

from orchestrator.eventstore.loop_session import LoopSession
from orchestrator.eventstore.session import Session
from orchestrator.eventstore.sql import load_sql

Connection = psycopg.Connection[DictRow]
P = ParamSpec("P")
T = TypeVar("T")

DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
"""What a call raises when the database cannot be reached, is shutting down or took too long."""

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_WAIT_SECONDS = 5.0
_RECONNECT_SECONDS = 0.5
_CONNECT_SECONDS = 5


class Database:
    """The process's way to Postgres.

    Statements are synchronous. Asyncio code goes through `call`, which runs a function in one of
    `pool_size` threads; that and the committer are the only places where the two worlds meet. For the few statements
    that a run waits for all the time there is `loop_session`, without threads.
    """

    def __init__(self, conninfo: str, *, pool_size: int = 8, statement_timeout_ms: int = 30_000) -> None:
        self.conninfo = conninfo
        self._configure = _configure(statement_timeout_ms)
        self.datastore = PostgresDatastore(dbname="", host="", port="", user="", password="", schema="orchestrator")
        # The library's pool knows five parts of a connection string; ours takes it whole, TLS and all. After an
        # outage it connects at once, where the pool's own pauses between attempts double up to minutes.
        self.datastore.pool = self._pool = ConnectionPool(
            conninfo,
            connection_class=psycopg.Connection[DictRow],
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=1 + pool_size,
            open=False,
            configure=self._configure,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=lambda pool: pool.check(),
        )
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")
        self._sessions: list[Session | LoopSession] = []

    def session(self) -> Session:
        """Return a connection of its own, for statements that run all the time; it is closed with this."""
        session = Session(lambda: _connect(self.conninfo, self._configure))
        self._sessions.append(session)
        return session

    def loop_session(self) -> LoopSession:
        """Return a connection of its own for one event loop; it is closed with this."""
        session = LoopSession(lambda: _connect(self.conninfo, self._configure))
        self._sessions.append(session)
        return session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection in autocommit mode with `dict` rows."""
        with self.datastore.get_connection() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection inside a transaction."""
        with self.connection() as connection, connection.transaction():
            yield connection

    def mend(self) -> None:
        """Replace the connections that a restart of the server has broken; call it after a failure."""
        self._pool.check()

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a synchronous function on a database thread and await its answer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def ask(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `call`, for a function that is safe to repeat: until the database answers, with growing pauses."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except DATABASE_AWAY as error:
                logger.warning("asking again, the database is away: %s", error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads out retries
                await self.call(self.mend)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Give back every connection and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for session in self._sessions:
            session.close()
        self.datastore.close()


def _connect(conninfo: str, configure: Callable[[Connection], None]) -> Connection:
    connection = psycopg.connect(conninfo, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS)
    try:
        configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(timeout_ms: int) -> Callable[[Connection], None]:
    """Return what makes a new connection ours: autocommit, and a deadline for every statement."""

    def configure(connection: Connection) -> None:
        connection.autocommit = True
        connection.execute(_SQL.configure, {"timeout_ms": str(timeout_ms)})

    return configure
