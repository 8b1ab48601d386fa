"""Exceptions that the client raises.

ClientError
├── NoAnswer                    the server could not be reached
├── WaitTimedOut                also a TimeoutError
│   └── RunIsBlocked            `skills` lists the missing skills
├── ArtifactElsewhere           `location` is its URL
├── ContentDamaged
└── ApiError                    the server returned an error: `code`, `message`, `details`, `status`
    ├── InvalidRequest          400, `details["faults"]` lists every fault
    │   ├── UnknownChangeType
    │   ├── BaseRunNotCompleted
    │   ├── RunNotRetryable
    │   └── RunNotCancellable
    ├── NotAuthenticated        401
    ├── NotAllowed              403
    ├── NotFound                404
    │   ├── RunNotFound
    │   ├── WorkflowNotFound
    │   └── ArtifactNotFound
    ├── Conflict                409
    │   ├── IdempotencyConflict
    │   ├── PlanChanged
    │   ├── VersionExists
    │   └── WorkflowRetired
    ├── ArtifactGone            410
    ├── TooLarge                413
    ├── RateLimited             429
    └── ServerError             500 and above
        └── Unavailable         502, 503, 504
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, ClassVar


class ClientError(Exception):
    """A call failed or was refused.

    Attributes:
        passing: whether the error is transient: the same call may succeed a little later.
        retry_after: seconds to wait before the next try, if the server sent `Retry-After`.
    """

    passing = False
    retry_after: float | None = None


class NoAnswer(ClientError):
    """The server cannot be reached, or the connection broke before the response was complete."""

    passing = True


class WaitTimedOut(ClientError, TimeoutError):
    """The run did not finish within the timeout. It continues."""


class RunIsBlocked(WaitTimedOut):
    """No worker has a skill that the run needs. The run continues as soon as a worker with that skill starts.

    Attributes:
        run_id: the run.
        skills: the skills that no worker has.
    """

    def __init__(self, run_id: str, skills: Iterable[str]) -> None:
        self.run_id = run_id
        self.skills = tuple(skills)
        named = ", ".join(self.skills)
        super().__init__(f"run {run_id} is blocked: no worker knows {named}. Start a worker that has it (--skills)")


class ArtifactElsewhere(ClientError):
    """The artifact is stored elsewhere, at `location`.

    The client does not fetch it, because the server cannot vouch for that content.
    """

    def __init__(self, artifact_id: str, location: str) -> None:
        super().__init__(f"artifact {artifact_id} is kept at {location}")
        self.location = location


class ContentDamaged(ClientError):
    """The received bytes do not match the hash that the server announced."""


class ApiError(ClientError):
    """The server returned an error.

    Attributes:
        status: the HTTP status.
        code: the error code, for programs; docs/errors.md lists all codes.
        message: a description for people.
        details: more about the error; the fields depend on the code.
    """

    statuses: ClassVar[frozenset[int]] = frozenset()
    its_code: ClassVar[str] = ""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """The request is malformed or breaks a rule."""

    statuses = frozenset({400})


class UnknownChangeType(InvalidRequest):
    """The workflow does not declare this change type."""

    its_code = "UNKNOWN_CHANGE_TYPE"


class BaseRunNotCompleted(InvalidRequest):
    """An update needs a completed base run."""

    its_code = "BASE_RUN_NOT_COMPLETED"


class RunNotRetryable(InvalidRequest):
    """Only failed and cancelled runs can be retried."""

    its_code = "RUN_NOT_RETRYABLE"


class RunNotCancellable(InvalidRequest):
    """The run has already finished."""

    its_code = "RUN_NOT_CANCELLABLE"


class NotAuthenticated(ApiError):
    """The key or token is missing or not valid."""

    statuses = frozenset({401})


class NotAllowed(ApiError):
    """The role of the key does not allow this call."""

    statuses = frozenset({403})


class NotFound(ApiError):
    """The resource does not exist, or belongs to another tenant."""

    statuses = frozenset({404})


class RunNotFound(NotFound):
    """The run does not exist."""

    its_code = "RUN_NOT_FOUND"


class RunDeleted(NotFound):
    """The run was deleted for good."""

    its_code = "RUN_DELETED"


class WorkflowNotFound(NotFound):
    """The workflow, or this version of it, does not exist."""

    its_code = "WORKFLOW_NOT_FOUND"


class ArtifactNotFound(NotFound):
    """The artifact does not exist."""

    its_code = "ARTIFACT_NOT_FOUND"


class Conflict(ApiError):
    """The request conflicts with the current state."""

    statuses = frozenset({409})


class IdempotencyConflict(Conflict):
    """The idempotency key was already used with another request."""

    its_code = "IDEMPOTENCY_CONFLICT"


class PlanChanged(Conflict):
    """The plan is no longer the expected one."""

    its_code = "PLAN_CHANGED"


class VersionExists(Conflict):
    """This version of the workflow is already registered with different content."""

    its_code = "VERSION_EXISTS"


class WorkflowRetired(Conflict):
    """The workflow, or this version of it, takes no new runs."""

    its_code = "WORKFLOW_RETIRED"


class ArtifactGone(ApiError):
    """The bytes of the artifact are missing or were altered."""

    statuses = frozenset({410})


class TooLarge(ApiError):
    """The request body is too large."""

    statuses = frozenset({413})


class RateLimited(ApiError):
    """Too many requests; wait for `retry_after` seconds."""

    statuses = frozenset({429})
    passing = True


class ServerError(ApiError):
    """The server failed; the request is not at fault."""


class Unavailable(ServerError):
    """The server cannot serve the request now.

    For example, its database is unavailable, its read models lag behind, or it is stopping.
    """

    statuses = frozenset({502, 503, 504})
    passing = True


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the exception for an error response. A response without our error document may come from a proxy."""
    code, message, details = f"HTTP_{status}", _phrase(status), {}
    try:
        document = json.loads(body)
        code, message, details = str(document["error"]), str(document["message"]), dict(document["details"])
    except (ValueError, KeyError, TypeError):
        pass
    return _kind(status, code)(status, code, message, details, _seconds(headers.get("Retry-After")))


def _kind(status: int, code: str) -> type[ApiError]:
    kinds = list(_below(ApiError))
    for kind in kinds:
        if kind.its_code == code and code:
            return kind
    for kind in kinds:
        if status in kind.statuses and not kind.its_code:
            return kind
    return ServerError if status >= 500 else ApiError


def _below(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _phrase(status: int) -> str:
    try:
        return f"the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"the server answered {status}"


_MAX_SECONDS = 86_400.0


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds in a Retry-After header, at most a day. It holds a number or a date (RFC 9110)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), _MAX_SECONDS)
    try:
        return min(_MAX_SECONDS, max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()))
    except (TypeError, ValueError):
        return None
