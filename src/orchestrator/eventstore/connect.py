"""A single connection to Postgres, or one clear error that says where and why, never the password."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

CONNECT_SECONDS = 10
"""How long to wait for an answer when the connection string does not say (`connect_timeout`)."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or does not let us in."""


def connect(conninfo: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Open a connection.

    Args:
        conninfo: A connection string, `key=value` pairs or a URL.
        autocommit: Whether statements commit by themselves.

    Raises:
        DatabaseUnavailable: It cannot be opened; names the place and the cause without the password.
    """
    parts = _parts(conninfo)
    try:
        timeout = int(parts.get("connect_timeout") or CONNECT_SECONDS)
        return psycopg.connect(conninfo, autocommit=autocommit, connect_timeout=timeout)
    except (psycopg.Error, ValueError) as error:
        cause = " ".join(str(error).split()).removeprefix("connection failed: ")
        secret = str(parts.get("password") or "")
        if secret:
            cause = cause.replace(secret, "***")
        raise DatabaseUnavailable(f"The database at {place(conninfo)} is not available: {cause}") from None


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


def _parts(conninfo: str) -> dict[str, Any]:
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
