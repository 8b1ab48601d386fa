"""Turn an error into one message on stderr and an exit code.

Complaint          an error that the command line finds: a payload that is not JSON, a port in use
DomainError        a violated rule, from any package
RequestError       a request that violates the API's contract
ClientError        an error response of a server, or no response
SettingsError, EmbeddedPostgresError, DatabaseUnavailable, MissingGrants, PoolingUnfit, MigrationError, UnreadableEvent,
OSError
psycopg.Error      only what the database's operator can fix: privileges, disk space, a read-only server
ImportError        a package that is not installed

Any other error is a bug in this program. Its message names the error and says how to get the traceback.
"""

from collections.abc import Mapping

import psycopg

from orchestrator.application.errors import RequestError
from orchestrator.bootstrap.grants import GRANT, MissingGrants
from orchestrator.cli.complaint import Complaint, sentence
from orchestrator.cli.output.terminal import print_error
from orchestrator.client import ClientError
from orchestrator.client import errors as client_errors
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
from orchestrator.postgres.pooling import PoolingUnfit
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.settings import SettingsError

FAILED = 1
"""Exit code of every error except wrong usage (2) and termination by a signal (128 + its number)."""

_FIXES: Mapping[type[BaseException], str] = {
    WorkflowNotFound: "List workflows with `orchestrator workflows list`, or add one with "
    "`orchestrator workflows register FILE`.",
    WorkflowVersionExists: "Change `version` in the file, or restore the registered content.",
    RunNotFound: "List runs with `orchestrator runs list`, and check --data-dir.",
    client_errors.WorkflowNotFound: "List workflows with `orchestrator workflows list`, or add one with "
    "`orchestrator workflows register FILE`.",
    client_errors.VersionExists: "Change `version` in the file, or restore the registered content.",
    client_errors.RunNotFound: "List runs with `orchestrator runs list`, and check --server.",
    client_errors.NoAnswer: "Is it running? Check --server or ORCHESTRATOR_SERVER.",
    client_errors.NotAuthenticated: "Set ORCHESTRATOR_KEY, or pass --key.",
    client_errors.NotAllowed: "Use a key with a higher role.",
    InvalidPayload: "`orchestrator workflows show NAME --json` shows the payloadSchema.",
    DatabaseUnavailable: "Check ORCHESTRATOR_DATABASE_URL, or unset it to use the embedded Postgres.",
    NeedsNewerProgram: "Upgrade this program.",
    UnreadableEvent: "The log was written by a newer program, or with another ORCHESTRATOR_CIPHER_KEY.",
}


def complain(error: BaseException) -> int:
    """Print the error on stderr and return the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    print_error(f"error: {_message(error)}")
    return FAILED


def _message(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    match error:
        case (
            Complaint()
            | RequestError()
            | SettingsError()
            | EmbeddedPostgresError()
            | MigrationError()
            | MissingGrants()
            | PoolingUnfit()
        ):
            return text
        case DatabaseUnavailable() if (refused := _refused_by_database(error)) is not None:
            return refused
        case DomainError() | ClientError() | DatabaseUnavailable() | UnreadableEvent():
            return _with_fix(text, error)
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or text}"
        case ImportError() if not (error.name or "").startswith("orchestrator"):
            return f"A package is not installed: {text}. Install it, or do not use what needs it."
        case _ if (refused := _refused_by_database(error)) is not None:
            return refused
        case _:
            name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
            return f"unexpected {name}: {text}\nThis is a bug. Run the command with --debug for the traceback."


def _refused_by_database(error: BaseException) -> str | None:
    """Return the message for a Postgres error that the database's operator can fix, or None for any other error."""
    cause: BaseException | None = error
    seen: set[int] = set()  # an error can be in its own chain of contexts
    while cause is not None and not isinstance(cause, psycopg.Error) and id(cause) not in seen:
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    if not isinstance(cause, psycopg.Error):
        return None
    text = f"The database refused: {cause.diag.message_primary or ' '.join(str(cause).split())}."
    match cause.sqlstate or "":
        case "42501":
            return f"{text} {GRANT}"
        case "25006":
            return f"{text} Connect to the primary server, and check that default_transaction_read_only is off."
        case state if state.startswith(("53", "58")):
            return f"{text} Check that the server has enough disk space, memory and connections, and try again."
        case _:
            return None


def _with_fix(text: str, error: BaseException) -> str:
    for kind, fix in _FIXES.items():
        if isinstance(error, kind):
            # Put the fix below a list of faults, on its own line.
            if "\n" in text:
                return f"{text}\n{fix}"
            end = "" if text.endswith(("?", "!", ".")) else "."
            return f"{sentence(text)}{end} {fix}"
    return text
