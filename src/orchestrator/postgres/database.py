"""Connections to Postgres: a pool, and sessions for frequent statements. Every wait has a deadline."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any, ParamSpec, TypeVar, cast

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from orchestrator.background.pauses import RETRIES, Pauses, RareWarning
from orchestrator.postgres.connect import NETWORK_TIMEOUT_MS, BoundedConnection, end_when_client_is_gone, parameters
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.session import Session
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable, is_unavailable, unavailable

Connection = BoundedConnection[DictRow]
P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_WAIT_SECONDS = 5.0
_RECONNECT_SECONDS = 0.5
_CHECK_SECONDS = 1.0
_CLOSE_SECONDS = 1.0


class _Datastore(PostgresDatastore):
    """The event sourcing library's datastore, using our pool."""

    def register_type_adapters(self) -> None:
        """Register no adapters, which saves a query: all parameters are sent in the server's own format."""


class _Pool(ConnectionPool[BoundedConnection[DictRow]]):
    """psycopg's pool; a health check takes at most one second, however long statements may take."""

    @staticmethod
    def check_connection(conn: Any) -> None:
        """Raise an error if a connection does not answer within a second."""
        limit, conn.answer_seconds = conn.answer_seconds, _CHECK_SECONDS
        try:
            conn.execute("")
        finally:
            conn.answer_seconds = limit


class Database:
    """The connections of a process to Postgres.

    Statements are synchronous. Asyncio code uses `call`, which runs a function in one of `pool_size` threads.
    The append and the step cache, which runs use constantly, have their own `loop_session`, without threads.

    Args:
        conninfo: a connection string, `key=value` pairs or a URL.
        direct: a connection string that leads to the server itself. Give it if, and only if, `conninfo` leads through
            a pooler that shares sessions (see `pooling`): then no session is changed and nothing is prepared.
        pool_size: the number of threads, and of pooled connections for them.
        statement_timeout_ms: how long the server may work on a statement.
        network_timeout_ms: how long a dead network may go unnoticed.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        direct: str | None = None,
        pool_size: int = 8,
        statement_timeout_ms: int = 30_000,
        network_timeout_ms: int = NETWORK_TIMEOUT_MS,
    ) -> None:
        self.conninfo = conninfo
        self._parameters = parameters(conninfo, network_timeout_ms)
        self._network_seconds = network_timeout_ms / 1000
        self._ends_at = math.inf
        self.direct = direct
        answer_seconds = (statement_timeout_ms + network_timeout_ms) / 1000
        self._configure_own = _configure(statement_timeout_ms, network_timeout_ms, lambda: self._ends_at)
        self._configure = self._configure_own if direct is None else _adopt(answer_seconds, lambda: self._ends_at)
        self.datastore = _Datastore(dbname="", host="", port="", user="", password="", schema="orchestrator")
        # The library's pool supports five parts of a connection string; ours takes all of it, including TLS. After an
        # outage it reconnects immediately, whereas the pool's own pauses between attempts double up to minutes.
        self._pool = _Pool(
            conninfo,
            connection_class=BoundedConnection[DictRow],
            kwargs={"row_factory": dict_row, **self._parameters},
            min_size=1,
            max_size=1 + pool_size,
            open=False,
            configure=self._configure,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=lambda pool: pool.check(),
        )
        self.datastore.pool = cast("Any", self._pool)
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")
        self._sessions: list[Session | LoopSession] = []
        self._warn = RareWarning(logger, "database unavailable, retrying")

    def session(self) -> Session:
        """Return a session with its own connection, for frequent statements; closed together with the database."""
        session = Session(self.connect, prepares=self.direct is None)
        self._sessions.append(session)
        return session

    def loop_session(self, answer_seconds: float | None = None) -> LoopSession:
        """Return a session with its own connection for one event loop; closed together with the database.

        Args:
            answer_seconds: how long the server may take to answer; by default, the network timeout.
        """
        session = LoopSession(self.connect, answer_seconds or self._network_seconds, prepares=self.direct is None)
        self._sessions.append(session)
        return session

    def connect(self) -> BoundedConnection[DictRow]:
        """Open a connection outside the pool, in autocommit mode; the caller must close it.

        Raises:
            DatabaseUnavailable: the connection cannot be opened.
        """
        return _open(self.conninfo, self._parameters, self._configure)

    @contextmanager
    def own_session(self) -> Iterator[Connection]:
        """Lend a connection that keeps its session, also behind a pooler: for locks and settings of a session.

        Raises:
            DatabaseUnavailable: see `connection`.
        """
        if self.direct is None:
            with self.connection() as lent:
                yield lent
            return
        made = parameters(self.direct, round(self._network_seconds * 1000))
        with closing(_open(self.direct, made, self._configure_own)) as connection:
            yield connection

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection in autocommit mode with `dict` rows.

        Raises:
            DatabaseUnavailable: no connection is available, or a statement failed because the database is unavailable
                (see `is_unavailable`).
        """
        lent: Connection | None = None
        try:
            if self._pool.closed:
                self._pool.open()
            with self._pool.connection() as lent:
                yield lent
        except Exception as error:
            if not is_unavailable(error):
                raise
            if lent is not None:
                lent.close()
            if isinstance(error.__cause__ or error, psycopg.errors.ReadOnlySqlTransaction):
                self._pool.drain()  # the other connections lead to the same server
            raise unavailable(error) from error

    @contextmanager
    def transaction(self, *, bounded: bool = True) -> Iterator[Connection]:
        """Lend a connection inside a transaction; unless `bounded`, its statements have no time limit."""
        with self.connection() as connection, connection.transaction():
            if bounded:
                yield connection
                return
            connection.execute(_SQL.no_deadline)
            limit, connection.answer_seconds = connection.answer_seconds, None
            try:
                yield connection
            finally:
                connection.answer_seconds = limit

    def mend(self) -> None:
        """Replace broken connections; call it after a failure."""
        if not self._pool.closed:  # the pool is closed before its first use
            self._pool.check()

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a synchronous function in a database thread and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def ask(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an idempotent function like `call`, and retry it with growing pauses until the database is available."""
        pauses = Pauses(RETRIES)
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except DatabaseUnavailable as error:
                self._warn(error)
                await asyncio.sleep(pauses.next())
                await self.call(self.mend)

    def end_waits(self, seconds: float) -> None:
        """Limit every wait for the server, including current ones, because the process is shutting down.

        Otherwise an unresponsive server, behind a dead network for example, would delay the shutdown for as long as a
        statement may take.
        """
        self._ends_at = min(self._ends_at, monotonic() + seconds)

    def close(self) -> None:
        """Close all connections and stop the threads."""
        self.end_waits(_CLOSE_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
        for session in self._sessions:
            session.close()
        self.datastore.close()


def _configure(
    statement_timeout_ms: int, network_timeout_ms: int, ends_at: Callable[[], float]
) -> Callable[[Connection], None]:
    """Return the function that configures a new connection: autocommit, and deadlines on both client and server."""

    def configure(connection: Connection) -> None:
        connection.autocommit = True
        connection.ends_at = ends_at
        connection.answer_seconds = (statement_timeout_ms + network_timeout_ms) / 1000
        connection.execute(_SQL.configure, {"timeout_ms": str(statement_timeout_ms)})
        end_when_client_is_gone(connection, network_timeout_ms)

    return configure


def _adopt(answer_seconds: float, ends_at: Callable[[], float]) -> Callable[[Connection], None]:
    """Return the function that configures a connection whose sessions are shared: only what concerns the client."""

    def configure(connection: Connection) -> None:
        connection.autocommit = True
        connection.ends_at = ends_at
        connection.answer_seconds = answer_seconds
        connection.prepare_threshold = None  # also for statements with `prepare=True`

    return configure


def _open(conninfo: str, made: Mapping[str, Any], configure: Callable[[Connection], None]) -> Connection:
    """Open a connection outside the pool; raises DatabaseUnavailable."""
    try:
        connection = BoundedConnection[DictRow].connect(conninfo, row_factory=dict_row, **made)
    except psycopg.Error as error:
        raise unavailable(error) from error
    try:
        configure(connection)
    except BaseException as error:
        connection.close()
        if is_unavailable(error):
            raise unavailable(error) from error
        raise
    return connection
