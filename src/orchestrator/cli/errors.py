"""From an error to one clear line on stderr and an exit code.

Complaint          what the terminal itself finds wrong: a payload that is no JSON, a port that is taken
DomainError        the rules, from every room
RequestError           a request that breaks the contract
ClientError        what a server that was asked says, or that it says nothing
SettingsError, EmbeddedPostgresError, DatabaseUnavailable, MissingGrants, MigrationError, UnreadableEvent, OSError
psycopg.Error      only what the operator of the database can put right: grants, disk space, a read-only server
ImportError        a package that is not installed

Anything else is a fault of the program: it is named, and how to get its traceback.
"""

from collections.abc import Mapping

import psycopg

from orchestrator.application.errors import RequestError
from orchestrator.bootstrap.grants import GRANT, MissingGrants
from orchestrator.cli.complaint import Complaint, sentence
from orchestrator.cli.output.terminal import print_error
from orchestrator.client import ClientError
from orchestrator.client import errors as told
from orchestrator.domain.errors import (
    DomainError,
    InvalidPayload,
    NeedsNewerProgram,
    RunNotFound,
    WorkflowNotFound,
    WorkflowVersionExists,
)
from orchestrator.eventstore.codec import UnreadableEvent
from orchestrator.postgres.embedded import EmbeddedPostgresError
from orchestrator.postgres.migration_files import MigrationError
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.settings import SettingsError

FAILED = 1
"""Exit code of everything that went wrong, but wrong usage (2) and the end by a signal (128 + its number)."""

_FIXES: Mapping[type[BaseException], str] = {
    WorkflowNotFound: "`orchestrator workflows list` shows those there are, `orchestrator workflows register FILE` "
    "adds one.",
    WorkflowVersionExists: "Change `version` in the file, or bring the registered content back.",
    RunNotFound: "`orchestrator runs list` shows the newest ones; is it the right --data-dir?",
    told.WorkflowNotFound: "`orchestrator workflows list` shows those there are, `orchestrator workflows register "
    "FILE` adds one.",
    told.VersionExists: "Change `version` in the file, or bring the registered content back.",
    told.RunNotFound: "`orchestrator runs list` shows the newest ones; is it the right --server?",
    told.NoAnswer: "Is it running? Check --server or ORCHESTRATOR_SERVER.",
    told.NotAuthenticated: "Set ORCHESTRATOR_KEY, or give --key.",
    told.NotAllowed: "Use a key with another role.",
    InvalidPayload: "`orchestrator workflows show NAME --json` shows the payloadSchema.",
    DatabaseUnavailable: "Check ORCHESTRATOR_DATABASE_URL, or unset it to use our own Postgres.",
    NeedsNewerProgram: "Upgrade this program.",
    UnreadableEvent: "The log was written by a newer program, or with another ORCHESTRATOR_CIPHER_KEY.",
}


def complain(error: BaseException) -> int:
    """Say on stderr what went wrong and return the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    print_error(f"error: {_words(error)}")
    return FAILED


def _words(error: BaseException) -> str:
    said = str(error).strip() or type(error).__name__
    match error:
        case (
            Complaint()
            | RequestError()
            | SettingsError()
            | EmbeddedPostgresError()
            | MigrationError()
            | MissingGrants()
        ):
            return said
        case DatabaseUnavailable() if (refused := _refused_by_database(error)) is not None:
            return refused
        case DomainError() | ClientError() | DatabaseUnavailable() | UnreadableEvent():
            return _with_fix(said, error)
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or said}"
        case ImportError() if not (error.name or "").startswith("orchestrator"):
            return f"A package is not installed: {said}. Install it, or leave out what needs it."
        case _ if (refused := _refused_by_database(error)) is not None:
            return refused
        case _:
            name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
            return f"unexpected {name}: {said}\nThis is a fault of the program. The same with --debug shows where."


def _refused_by_database(error: BaseException) -> str | None:
    """Return what the operator of the database can put right, when that is why Postgres refused; else None."""
    cause: BaseException | None = error
    seen: set[int] = set()  # an error may come to be its own context
    while cause is not None and not isinstance(cause, psycopg.Error) and id(cause) not in seen:
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, psycopg.Error):
        return None
    said = f"The database refuses: {cause.diag.message_primary or ' '.join(str(cause).split())}."
    match cause.sqlstate or "":
        case "42501":
            return f"{said} {GRANT}"
        case "25006":
            return f"{said} Connect to the primary server, and see that default_transaction_read_only is off."
        case state if state.startswith(("53", "58")):
            return f"{said} See that the server has enough room, memory and connections, and try again."
        case _:
            return None


def _with_fix(said: str, error: BaseException) -> str:
    for kind, fix in _FIXES.items():
        if isinstance(error, kind):
            # A list of faults keeps its lines; the fix comes below it.
            if "\n" in said:
                return f"{said}\n{fix}"
            end = "" if said.endswith(("?", "!", ".")) else "."
            return f"{sentence(said)}{end} {fix}"
    return said
