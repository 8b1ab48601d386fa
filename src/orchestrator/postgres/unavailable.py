"""The one error for an unavailable database, and which of the driver's errors mean it."""

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import errors

_UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError)

_ANSWERS = (errors.LockNotAvailable, errors.ProgramLimitExceeded)
"""Operational errors that the same statement would meet again: the database is there and refused it."""

_ANOTHER_SERVER = frozenset({"25006", "25P03", "25P04", "26000", "42P05"})
"""What a connection says that must be replaced: the server behind it is read-only (a standby, or a primary that was
demoted), ended the session's transaction, or is not the one on which a statement was prepared (SQLSTATEs)."""

_OLD_PLAN = "cached plan must not change result type"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, is read-only or shutting down, or did not answer in time. Try again.

    `answered` tells that the server said so itself, rather than that the connection was lost.
    """

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable, and its connection is to be replaced."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if isinstance(error, psycopg.Error):
        if error.sqlstate in _ANOTHER_SERVER:
            return True
        if isinstance(error, errors.FeatureNotSupported):
            return _OLD_PLAN in str(error)
    return isinstance(error, _UNAVAILABLE) and not isinstance(error, _ANSWERS)


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """Return the error to raise for one of the driver's."""
    if isinstance(error, DatabaseUnavailable):
        return DatabaseUnavailable(str(error), answered=error.answered)  # another: no error may be its own cause
    answered = isinstance(error, psycopg.Error) and error.sqlstate is not None
    return DatabaseUnavailable(" ".join(str(error).split()) or type(error).__name__, answered=answered)
