"""Detects a pooler that shares server sessions between clients (transaction or statement pooling).

Behind such a pooler two statements of one connection may run in different sessions of the server. So what belongs to a
session does not hold: its settings, prepared statements, LISTEN, advisory locks that outlive a transaction.
"""

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from orchestrator.postgres.connect import BoundedConnection, connect, place
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable

_SQL = load_sql(__file__)
_ANSWER_SECONDS = 10.0
_ORDER = (0, 1, 1, 0, 0, 0, 1, 0)
"""Which of two connections asks. In no pooler that shares sessions does each of them keep one of its own throughout:
whether it hands out the session used last or the one unused for longest, the order is irregular for both."""


class PoolingUnfit(Exception):
    """The process cannot work through the pooler, or its connection strings do not fit together."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a process reaches its database.

    Attributes:
        conninfo: where statements go, possibly through a pooler.
        direct: where whatever needs a session of its own goes: listening, migrations, locks of a session.
        shares_sessions: whether `conninfo` leads through a pooler that shares sessions.
    """

    conninfo: str
    direct: str
    shares_sessions: bool = False


def find_route(conninfo: str, listen: str | None) -> Route:
    """Return how to reach a database, after checking that its connection strings fit.

    Without a pooler and without `listen`, this is one connection and one query.

    Args:
        conninfo: the connection string in `ORCHESTRATOR_DATABASE_URL`.
        listen: the one in `ORCHESTRATOR_LISTEN_URL`, or None.

    Raises:
        PoolingUnfit: sessions are shared and `listen` is missing or is shared as well; `listen` leads to another
            database; the role lacks its `search_path`; or the pooler does not allow transactions.
        DatabaseUnavailable: a server cannot be reached.
    """
    shares = shares_sessions(conninfo)
    if listen is None:
        if shares:
            raise PoolingUnfit(
                f"The pooler at {place(conninfo)} shares sessions between clients (transaction pooling). Set "
                "ORCHESTRATOR_LISTEN_URL to a direct connection to the same database (docs/operations.md, Behind "
                "PgBouncer)."
            )
        return Route(conninfo, conninfo)
    if shares_sessions(listen):
        raise PoolingUnfit(
            f"ORCHESTRATOR_LISTEN_URL leads to a pooler that shares sessions, {place(listen)}. Set it to a direct "
            "connection to Postgres."
        )
    check_same("ORCHESTRATOR_LISTEN_URL", conninfo, listen)
    return Route(conninfo, listen, shares)


def check_same(setting: str, conninfo: str, other: str) -> None:
    """Check that two connection strings lead to the same database, or to a replica of it.

    Raises:
        PoolingUnfit: they do not; the message names `setting`, the one to change.
        DatabaseUnavailable: a server cannot be reached.
    """
    if _identity(conninfo) != _identity(other):
        raise PoolingUnfit(
            f"{setting} leads to another database, {place(other)}, than ORCHESTRATOR_DATABASE_URL, {place(conninfo)}. "
            "Set both to the same database."
        )


def check_search_path(conninfo: str) -> None:
    """Check that shared sessions find our tables: no process may set `search_path` in a session that others use too.

    Raises:
        PoolingUnfit: the role has no such default; the message has the statement that sets it.
        DatabaseUnavailable: the server cannot be reached.
    """
    with _open(conninfo) as connection:
        row = connection.execute(_SQL.search_path, prepare=False).fetchone()
    if row is not None and not row[0]:
        raise PoolingUnfit(
            f"Behind a pooler that shares sessions, the database role needs the schema as its default. Run, as this "
            f"role: {row[1]}; then reconnect the pooler (RECONNECT in the console of PgBouncer)."
        )


def shares_sessions(conninfo: str) -> bool:
    """Return whether a connection string leads to a pooler that shares sessions between clients.

    A server reports the process id of a session when a client connects; behind a pooler it is not that of the session
    that runs the statements. Only then a second connection is opened, to see whether both get to the same session.

    Raises:
        PoolingUnfit: the pooler does not even keep a transaction in one session (statement pooling).
        DatabaseUnavailable: the server cannot be reached.
    """
    with _open(conninfo) as first:
        if _session_of(first) == first.pgconn.backend_pid:
            return False
        _check_transactions(first, conninfo)
        with _open(conninfo) as second:
            seen: tuple[set[int], set[int]] = (set(), set())
            for which in _ORDER:
                seen[which].add(_session_of((first, second)[which]))
    return len(seen[0] | seen[1]) != 2 or len(seen[0]) != 1


def _check_transactions(connection: BoundedConnection[TupleRow], conninfo: str) -> None:
    try:
        with connection.transaction():
            _session_of(connection)
    except (psycopg.Error, DatabaseUnavailable) as error:
        if "statement pooling" not in str(error):
            raise
        raise PoolingUnfit(
            f"The pooler at {place(conninfo)} has pool_mode = statement, which allows no transactions. Set pool_mode "
            "to session or transaction."
        ) from error


def _session_of(connection: BoundedConnection[TupleRow]) -> int:
    row = connection.execute(_SQL.session, prepare=False).fetchone()
    assert row is not None  # noqa: S101 - it always has one row
    return int(row[0])


def _identity(conninfo: str) -> tuple[object, ...] | None:
    with _open(conninfo) as connection:
        return connection.execute(_SQL.identity, prepare=False).fetchone()


def _open(conninfo: str) -> BoundedConnection[TupleRow]:
    return connect(conninfo, autocommit=True, answer_seconds=_ANSWER_SECONDS)
