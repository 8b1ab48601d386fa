"""A single connection to Postgres that never waits for ever, or one clear error that never shows the password."""

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
"""How long a network may swallow what was sent before the connection is given up, unless the settings say."""


class BoundedConnection(psycopg.Connection[Row]):
    """A connection whose every wait for the server is bounded.

    Attributes:
        answer_seconds: the longest wait for the server's next word; None waits for as long as TCP keeps the connection.
        ends_at: says at which time (of `time.monotonic`) every wait ends, however long it may take otherwise.
    """

    answer_seconds: float | None = None
    ends_at: Callable[[], float] = staticmethod(lambda: math.inf)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does, and no longer than `answer_seconds`.

        Every statement comes through here. So its caller never sees the driver's error of a lost connection, also not
        within a transaction, where it could be taken for the fault of what the statement was about.

        Raises:
            DatabaseUnavailable: the connection was lost or the server gave up (see `is_unavailable`), or there was no
                answer in time; then the connection is closed.
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
    """Pass on what a generator of psycopg waits for, until the time is up."""
    deadline = math.inf if seconds is None else monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and (now := monotonic()) >= min(deadline, connection.ends_at()):
                connection.pgconn.finish()
                said = f"no answer from the database within {seconds:g} s" if now >= deadline else "the process ends"
                raise DatabaseUnavailable(said)
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
        autocommit: Whether statements commit by themselves.
        network_timeout_ms: How long a dead network may go unnoticed; see `parameters`.
        answer_seconds: The longest wait for an answer; None for as long as the network is there.

    Raises:
        DatabaseUnavailable: It cannot be opened; names the place and the cause without the password.
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
    """Return what to add to a connection string so that a dead network is noticed (libpq's parameters).

    What the string says itself is kept. Of several hosts the first that takes writes is used.

    Raises:
        DatabaseUnavailable: It is not a connection string.
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
    """Have the server notice a dead network as well, and end the session then.

    Otherwise each outage of the network leaves the sessions behind that were replaced, until the server has no
    connections left to give.
    """
    idle, interval = _keepalive_seconds(network_timeout_ms)
    given = {"idle": idle, "interval": interval, "count": _KEEPALIVES, "timeout_ms": network_timeout_ms}
    connection.execute(_SQL.end_when_client_is_gone, {name: str(value) for name, value in given.items()})


def _keepalive_seconds(network_timeout_ms: int) -> tuple[int, int]:
    """Return after how much silence the peer is asked for a sign of life, and how often from then on."""
    return max(1, round(network_timeout_ms / 2000)), max(1, round(network_timeout_ms / 6000))


def place(conninfo: str) -> str:
    """Where a connection string leads, fit to be shown: `host:port/database`, nothing secret.

    Raises:
        DatabaseUnavailable: It is not a connection string.
    """
    parts = _parts(conninfo)
    hosts = str(parts.get("host") or parts.get("hostaddr") or "the local socket")
    # Without a port libpq takes its own default, so none is shown.
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{hosts}{port}/{parts.get('dbname') or parts.get('user') or ''}"


def _parts(conninfo: str) -> Mapping[str, Any]:
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # Its message quotes the string, so it stays out of ours.
        raise DatabaseUnavailable(
            "The connection string of the database cannot be read; expected postgresql://user:password@host:port/database"
        ) from None
    if "@" in str(parts.get("host") or "").removeprefix("@"):
        # Then a piece of the password is taken for the host, and every message would show it.
        raise DatabaseUnavailable(
            "The connection string of the database has an '@' in its password; write it as %40 (percent-encoding)"
        )
    return parts
