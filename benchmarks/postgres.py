"""The Postgres of all contestants: one embedded server, with a new database for each."""

import atexit
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from benchmarks.folders import make_open_folder
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_RELOAD_SECONDS = 0.2  # once signalled, every session reads the new settings before its next statement


@cache
def server() -> EmbeddedPostgres:
    """Return the server. It is started at the first call, and removed when this process ends."""
    folder = make_open_folder()
    postgres = EmbeddedPostgres(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after `stop`, which `start` registers
    postgres.start()
    return postgres


def connect(database: str = "postgres") -> "psycopg.Connection[Any]":
    """Connect to a database of the server."""
    return psycopg.connect(server().conninfo(database), autocommit=True)


def fresh(name: str) -> str:
    """Create an empty database, replacing one with that name, and return its connection string."""
    with connect() as connection:
        for statement in (_SQL.drop_database, _SQL.create_database):
            connection.execute(sql.SQL(cast("LiteralString", statement)).format(sql.Identifier(name)))
        connection.execute(_SQL.checkpoint)  # flush the writes of the previous contestant first
    return server().conninfo(name)


@contextmanager
def slow_disk() -> Iterator[None]:
    """Make every commit wait 2 ms before it flushes, as on a disk whose flush takes that long.

    `commit_delay` is meant for grouping commits; `commit_siblings = 0` applies it to single commits too.
    """
    with connect() as connection:
        for statement in (_SQL.set_delay, _SQL.set_siblings, _SQL.reload):
            connection.execute(statement)
        time.sleep(_RELOAD_SECONDS)
        try:
            yield
        finally:
            for statement in (_SQL.reset_delay, _SQL.reset_siblings, _SQL.reload):
                connection.execute(statement)
            time.sleep(_RELOAD_SECONDS)


def version() -> str:
    """Return the version of the server."""
    with connect() as connection:
        return connection.info.parameter_status("server_version") or "unknown"


def counters() -> tuple[int, int]:
    """Return the number of transactions that have written so far, and the bytes of write-ahead log."""
    with connect() as connection:
        row = connection.execute(_SQL.counters).fetchone()
    assert row is not None
    return row[0], row[1]
