"""Single connections to Postgres with a limit on every wait, and clear errors that never contain the password."""

import math
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import Row, TupleRow

from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable, is_unavailable, unavailable

T = TypeVar("T")

_SQL = load_sql(__file__)
_KEEPALIVES = 3

NETWORK_TIMEOUT_MS = 10_000
"""The default time in ms that sent data may stay unacknowledged before the connection is closed."""


class BoundedConnection(psycopg.Connection[Row]):
    """A connection with a limit on every wait for the server.

    Attributes:
        answer_seconds: the longest wait for the server's next message; None waits as long as TCP keeps the connection.
        ends_at: returns the time (of `time.monotonic`) at which every wait ends, whatever its own limit is.
    """

    answer_seconds: float | None = None
    ends_at: Callable[[], float] = staticmethod(lambda: math.inf)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does, but no longer than `answer_seconds`.

        Every statement goes through here. So callers never see the driver's error for a lost connection, not even
        within a transaction, where it could be mistaken for an error in the statement's data.

        Raises:
            DatabaseUnavailable: the connection was lost or the server gave up (see `is_unavailable`), or the server
                did not answer in time; in the latter case the connection is closed.
            psycopg.Error: the server refused the statement.
        """
        limit = self.answer_seconds if timeout is None else timeout
        try:
            return super().wait(_bounded(gen, limit, self), interval)
        except psycopg.Error as error:
            if not is_unavailable(error):
                raise
            raise unavailable(error) from error


def _bounded(gen: PQGen[T], seconds: float | None, connection: BoundedConnection[Any]) -> PQGen[T]:
    """Delegate to a generator of psycopg until the time limit is reached."""
    deadline = math.inf if seconds is None else monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and (now := monotonic()) >= min(deadline, connection.ends_at()):
                connection.pgconn.finish()
                reason = f"no answer from the database within {seconds:g} s" if now >= deadline else "shutting down"
                raise DatabaseUnavailable(reason)
            state = gen.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


def connect(
    conninfo: str,
    *,
    autocommit: bool = False,
    network_timeout_ms: int = NETWORK_TIMEOUT_MS,
    answer_seconds: float | None = None,
) -> BoundedConnection[TupleRow]:
    """Open a connection.

    Args:
        conninfo: A connection string, `key=value` pairs or a URL.
        autocommit: Whether each statement is committed by itself.
        network_timeout_ms: How long a dead network may go unnoticed; see `parameters`.
        answer_seconds: The longest wait for an answer; None waits as long as TCP keeps the connection.

    Raises:
        DatabaseUnavailable: It cannot be opened; the message names the server and the cause, without the password.
    """
    given = _parts(conninfo)
    try:
        connection = BoundedConnection.connect(
            conninfo, autocommit=autocommit, **parameters(conninfo, network_timeout_ms)
        )
    except (psycopg.Error, ValueError) as error:
        cause = " ".join(str(error).split()).removeprefix("connection failed: ")
        secret = str(given.get("password") or "")
        if secret:
            cause = cause.replace(secret, "***")
        raise DatabaseUnavailable(f"The database at {place(conninfo)} is not available: {cause}") from None
    connection.answer_seconds = answer_seconds
    return connection


def parameters(conninfo: str, network_timeout_ms: int = NETWORK_TIMEOUT_MS) -> dict[str, Any]:
    """Return the libpq parameters to add to a connection string so that a dead network is detected.

    Parameters in the string itself take precedence. Of several hosts, the first that accepts writes is used.

    Raises:
        DatabaseUnavailable: The connection string is invalid.
    """
    given = _parts(conninfo)
    idle, interval = _keepalive_seconds(network_timeout_ms)
    wanted: dict[str, Any] = {
        "connect_timeout": idle,  # for each host
        "keepalives_idle": idle,
        "keepalives_interval": interval,
        "keepalives_count": _KEEPALIVES,
        "tcp_user_timeout": network_timeout_ms,
    }
    if "," in str(given.get("host") or given.get("hostaddr") or ""):
        wanted["target_session_attrs"] = "read-write"
    return {name: value for name, value in wanted.items() if name not in given}


def end_when_client_is_gone(connection: psycopg.Connection[Any], network_timeout_ms: int) -> None:
    """Make the server detect a dead network as well and end the session.

    Otherwise each network outage leaves the replaced sessions behind, until the server has no free connections.
    """
    idle, interval = _keepalive_seconds(network_timeout_ms)
    given = {"idle": idle, "interval": interval, "count": _KEEPALIVES, "timeout_ms": network_timeout_ms}
    connection.execute(_SQL.end_when_client_is_gone, {name: str(value) for name, value in given.items()})


def _keepalive_seconds(network_timeout_ms: int) -> tuple[int, int]:
    """Return after how many idle seconds TCP sends the first keepalive, and the seconds between further ones."""
    return max(1, round(network_timeout_ms / 2000)), max(1, round(network_timeout_ms / 6000))


def place(conninfo: str) -> str:
    """Return the server and database of a connection string as `host:port/database`, without secrets.

    Raises:
        DatabaseUnavailable: The connection string is invalid.
    """
    parts = _parts(conninfo)
    hosts = str(parts.get("host") or parts.get("hostaddr") or "the local socket")
    # Without a port libpq uses its own default, so none is shown.
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{hosts}{port}/{parts.get('dbname') or parts.get('user') or ''}"


def _parts(conninfo: str) -> Mapping[str, Any]:
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # Its message quotes the string, so it is not included in ours.
        raise DatabaseUnavailable(
            "The connection string of the database is invalid; expected postgresql://user:password@host:port/database"
        ) from None
    if "@" in str(parts.get("host") or "").removeprefix("@"):
        # Otherwise part of the password is taken for the host, and every message would show it.
        raise DatabaseUnavailable(
            "The connection string of the database has an '@' in its password; write it as %40 (percent-encoding)"
        )
    return parts
