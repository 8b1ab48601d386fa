"""Connections to Postgres: one pool a process, every statement with a deadline."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from orchestrator.eventstore.sql import load_sql

Connection = psycopg.Connection[DictRow]
P = ParamSpec("P")
T = TypeVar("T")

DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
"""What a call raises when the database cannot be reached, is shutting down or took too long."""

logger = logging.getLogger(__name__)

_SQL = load_sql(__file__)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class _Datastore(PostgresDatastore):
    """The library's datastore with a deadline for every statement."""

    statement_timeout_ms = 30_000

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        timeout = self.statement_timeout_ms

        def after_connect(connection: psycopg.Connection[Any]) -> None:
            connection.autocommit = True
            connection.execute(_SQL.configure, {"timeout_ms": str(timeout)})

        return after_connect


class Database:
    """The process's way to Postgres.

    Statements are synchronous. Asyncio code goes through `call`, which runs a function in one of
    `pool_size` threads; that and the committer are the only places where the two worlds meet.
    """

    def __init__(self, conninfo: str, *, pool_size: int = 8, statement_timeout_ms: int = 30_000) -> None:
        self.conninfo = conninfo
        parts = conninfo_to_dict(conninfo)
        self.datastore = _Datastore(
            dbname=str(parts.get("dbname") or "postgres"),
            host=str(parts.get("host") or ""),
            port=str(parts.get("port") or "5432"),
            user=str(parts.get("user") or "postgres"),
            password=str(parts.get("password") or ""),
            schema="orchestrator",
            pool_size=1,
            max_overflow=pool_size,
            connect_timeout=5.0,
        )
        self.datastore.statement_timeout_ms = statement_timeout_ms
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")

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
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Give back every connection and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.datastore.close()
