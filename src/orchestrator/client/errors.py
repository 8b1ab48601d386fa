"""What can go wrong between a client and the API. The docstring of each says when.

ClientError
├── NoAnswer                    nothing that answers, however often it was tried
├── WaitTimedOut                also a TimeoutError
│   └── RunIsBlocked            `skills` says on which
├── ArtifactElsewhere           `location` says where
├── ContentDamaged
└── ApiError                    the server says no: `code`, `message`, `details`, `status`
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
    │   └── VersionExists
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
    """A call could not be made or was refused.

    Attributes:
        passing: whether the same call may well succeed a little later.
        retry_after: how many seconds to wait before, when the server says so.
    """

    passing = False
    retry_after: float | None = None


class NoAnswer(ClientError):
    """The server cannot be reached, or the answer broke off."""

    passing = True


class WaitTimedOut(ClientError, TimeoutError):
    """The run did not end in the time given. It goes on."""


class RunIsBlocked(WaitTimedOut):
    """No worker knows a skill that the run needs. It waits, and goes on once a worker with that skill starts.

    Attributes:
        run_id: the run.
        skills: the skills that no worker knows.
    """

    def __init__(self, run_id: str, skills: Iterable[str]) -> None:
        self.run_id = run_id
        self.skills = tuple(skills)
        named = ", ".join(self.skills)
        super().__init__(f"run {run_id} is blocked: no worker knows {named}. Start a worker that has it (--skills)")


class ArtifactElsewhere(ClientError):
    """The artifact is kept outside, at `location`. What is there is not fetched: the server does not vouch for it."""

    def __init__(self, artifact_id: str, location: str) -> None:
        super().__init__(f"artifact {artifact_id} is kept at {location}")
        self.location = location


class ContentDamaged(ClientError):
    """The bytes that came are not those that were announced."""


class ApiError(ClientError):
    """The server refuses, or fails.

    Attributes:
        status: the HTTP status.
        code: what to act on; docs/errors.md lists all.
        message: for people.
        details: what more there is to know; what they hold depends on the code.
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
    """The request breaks the contract, or a rule."""

    statuses = frozenset({400})


class UnknownChangeType(InvalidRequest):
    """The workflow does not declare this change type."""

    its_code = "UNKNOWN_CHANGE_TYPE"


class BaseRunNotCompleted(InvalidRequest):
    """An update needs a base run that is completed."""

    its_code = "BASE_RUN_NOT_COMPLETED"


class RunNotRetryable(InvalidRequest):
    """Only failed and cancelled runs can be tried again."""

    its_code = "RUN_NOT_RETRYABLE"


class RunNotCancellable(InvalidRequest):
    """The run is over."""

    its_code = "RUN_NOT_CANCELLABLE"


class NotAuthenticated(ApiError):
    """There is no key, or it is not one that this server knows."""

    statuses = frozenset({401})


class NotAllowed(ApiError):
    """The key's role does not allow it."""

    statuses = frozenset({403})


class NotFound(ApiError):
    """There is no such thing, or it is another tenant's."""

    statuses = frozenset({404})


class RunNotFound(NotFound):
    """No such run."""

    its_code = "RUN_NOT_FOUND"


class WorkflowNotFound(NotFound):
    """No such workflow, or no such version of it."""

    its_code = "WORKFLOW_NOT_FOUND"


class ArtifactNotFound(NotFound):
    """No such artifact."""

    its_code = "ARTIFACT_NOT_FOUND"


class Conflict(ApiError):
    """The request contradicts what is there."""

    statuses = frozenset({409})


class IdempotencyConflict(Conflict):
    """The idempotency key was used before, with another request."""

    its_code = "IDEMPOTENCY_CONFLICT"


class PlanChanged(Conflict):
    """The plan would now differ from the one expected."""

    its_code = "PLAN_CHANGED"


class VersionExists(Conflict):
    """This version of the workflow is registered with other content."""

    its_code = "VERSION_EXISTS"


class ArtifactGone(ApiError):
    """The bytes of the artifact are no longer there, or not what they were."""

    statuses = frozenset({410})


class TooLarge(ApiError):
    """The body of the request is larger than is allowed."""

    statuses = frozenset({413})


class RateLimited(ApiError):
    """Too many requests; `retry_after` says when to go on."""

    statuses = frozenset({429})
    passing = True


class ServerError(ApiError):
    """Something went wrong on the server, not with the request."""


class Unavailable(ServerError):
    """The server cannot serve the request now: its database is unavailable, its read models lag, it is stopping."""

    statuses = frozenset({502, 503, 504})
    passing = True


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer stands for, whoever gave it: a proxy does not know our shape."""
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
    """Return the seconds, up to a day, that a Retry-After header asks for: a number, or a time (RFC 9110)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), _MAX_SECONDS)
    try:
        return min(_MAX_SECONDS, max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()))
    except (TypeError, ValueError):
        return None
