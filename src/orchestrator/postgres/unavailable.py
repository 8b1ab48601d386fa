"""The error for an unavailable database, and which of the driver's errors it covers."""

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import errors

_UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError)

_ANSWERS = (errors.LockNotAvailable, errors.ProgramLimitExceeded)
"""Operational errors that the same statement would raise again: the database is available and refused it."""

_ANOTHER_SERVER = frozenset({"25006", "25P03", "25P04", "26000", "42P05"})
"""SQLSTATEs after which the connection must be replaced: its server is read-only (a standby, or a demoted primary),
ended the session's transaction, or is not the server on which a statement was prepared."""

_NO_WRITER = "session is read-only"
"""What libpq reports when no host accepts writes; it has no SQLSTATE."""

_OLD_PLAN = "cached plan must not change result type"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, is read-only or shutting down, or did not answer in time. Try again.

    `answered` is true when the server itself reported the error, rather than the connection being lost. `read_only` is
    true when the server accepts no writes: it is a standby, or its `default_transaction_read_only` is on.
    """

    def __init__(self, message: str, *, answered: bool = False, read_only: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
        self.read_only = read_only


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable and the connection must be replaced."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, psycopg.Error):
        if error.sqlstate in _ANOTHER_SERVER:
            return True
        if isinstance(error, errors.FeatureNotSupported):
            return _OLD_PLAN in str(error)
    return isinstance(error, _UNAVAILABLE) and not isinstance(error, _ANSWERS)


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """Return the DatabaseUnavailable to raise for an error of the driver."""
    if isinstance(error, DatabaseUnavailable):
        # A new one: no error may be its own cause.
        return DatabaseUnavailable(str(error), answered=error.answered, read_only=error.read_only)
    answered = isinstance(error, psycopg.Error) and error.sqlstate is not None
    message = " ".join(str(error).split()) or type(error).__name__
    return DatabaseUnavailable(message, answered=answered, read_only=_refuses_writes(error))


def _refuses_writes(error: BaseException) -> bool:
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return True
    return isinstance(error, psycopg.OperationalError) and _NO_WRITER in str(error)
