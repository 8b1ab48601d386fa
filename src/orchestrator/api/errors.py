"""Errors as responses: `{"error", "message", "details"}`. Only this module maps errors to HTTP status codes.

    RequestError
    ├── InvalidRequest           400  lists every fault of a request with its path
    ├── MalformedRequest         400
    ├── Unauthenticated          401
    ├── Forbidden                403
    ├── OriginNotAllowed         403
    ├── ArtifactNotFound         404
    ├── BodyTooSlow              408
    ├── HeadTooSlow              408
    ├── BodyTooLarge             413
    ├── UnsupportedMediaType     415
    ├── RangeNotSatisfiable      416
    ├── HostNotAllowed           421
    ├── ComeLater                429
    │   ├── RateLimited
    │   └── TooManyAttempts
    ├── HeadTooLarge             431
    ├── DeadlineExceeded         503
    ├── Overloaded               503
    ├── ProjectionLagging        503
    ├── NotReady                 503
    └── IdentityProviderAway     503

`STATUS` also contains the errors of the domain and of the stores. An error that it does not contain becomes a 500.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from orchestrator.api.answers import Json
from orchestrator.application.errors import (
    ArtifactNotFound,
    DeadlineExceeded,
    DeletionHeld,
    InvalidRequest,
    ProjectionLagging,
    RequestError,
)
from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected, StoreUnavailable
from orchestrator.documents.places import place
from orchestrator.domain.errors import (
    BaseRunNotCompleted,
    CommandRefused,
    DomainError,
    Fault,
    FormatNotFinished,
    IdempotencyConflict,
    InputNotCanonical,
    InvalidPayload,
    InvalidWorkflow,
    NeedsNewerProgram,
    RunArchived,
    RunDeleted,
    RunNotCancellable,
    RunNotFound,
    RunNotRetryable,
    UnknownChangeType,
    UnknownStep,
    VersionConflict,
    WorkflowIsRetired,
    WorkflowNotFound,
    WorkflowVersionExists,
)
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.rebuild.errors import (
    ProgramTooOld,
    ProjectionNotFound,
    ProjectionNotLoaded,
    ProjectionNotStopped,
    RebuildInterrupted,
    RebuildRunning,
    RebuildStopped,
)

logger = logging.getLogger(__name__)

Hint = Callable[[Sequence[str | int]], str]


class MalformedRequest(RequestError):
    """The request is not valid HTTP."""

    code = "MALFORMED_REQUEST"


class Unauthenticated(RequestError):
    """The credentials are missing or not valid. `problem` is the error code of RFC 6750, if credentials were sent."""

    code = "UNAUTHENTICATED"

    def __init__(self, message: str, problem: str | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Forbidden(RequestError):
    """The caller may not make this request."""

    code = "FORBIDDEN"


class OriginNotAllowed(RequestError):
    """The request comes from a web page of another origin."""

    code = "ORIGIN_NOT_ALLOWED"


class HostNotAllowed(RequestError):
    """The Host header is not a name of this server."""

    code = "HOST_NOT_ALLOWED"


class BodyTooSlow(RequestError):
    """The request body did not arrive in time."""

    code = "REQUEST_TIMEOUT"


class HeadTooSlow(RequestError):
    """The request headers did not arrive in time."""

    code = "REQUEST_TIMEOUT"


class BodyTooLarge(RequestError):
    """The request body is too large."""

    code = "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(RequestError):
    """The endpoint does not support the media type of the request body."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class RangeNotSatisfiable(RequestError):
    """The artifact has no bytes in the requested range."""

    code = "RANGE_NOT_SATISFIABLE"


class ComeLater(RequestError):
    """The request is refused for now. `seconds` is how long to wait before the next try."""

    def __init__(self, message: str, seconds: int, **details: Any) -> None:
        super().__init__(message, **details)
        self.seconds = seconds


class RateLimited(ComeLater):
    """The key or the tenant has exceeded its rate limit."""

    code = "RATE_LIMITED"


class TooManyAttempts(ComeLater):
    """Too many wrong credentials came from the source address of the request."""

    code = "TOO_MANY_ATTEMPTS"


class HeadTooLarge(RequestError):
    """The request line and headers are too large."""

    code = "HEAD_TOO_LARGE"


class Overloaded(RequestError):
    """Too many requests are being served."""

    code = "OVERLOADED"


class NotReady(RequestError):
    """The server is not ready to serve requests."""

    code = "NOT_READY"


class IdentityProviderAway(RequestError):
    """The keys that verify tokens cannot be fetched from the identity provider."""

    code = "IDENTITY_PROVIDER_UNAVAILABLE"


STATUS: Mapping[type[Exception], int] = {
    InvalidRequest: 400,
    MalformedRequest: 400,
    InvalidWorkflow: 400,
    InvalidPayload: 400,
    InputNotCanonical: 400,
    UnknownChangeType: 400,
    UnknownStep: 400,
    BaseRunNotCompleted: 400,
    RunNotCancellable: 400,
    RunNotRetryable: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    OriginNotAllowed: 403,
    ProjectionNotFound: 404,
    WorkflowNotFound: 404,
    RunNotFound: 404,
    ArtifactNotFound: 404,
    BodyTooSlow: 408,
    HeadTooSlow: 408,
    WorkflowVersionExists: 409,
    WorkflowIsRetired: 409,
    IdempotencyConflict: 409,
    VersionConflict: 409,
    FormatNotFinished: 409,
    CommandRefused: 409,
    DeletionHeld: 409,
    ProjectionNotLoaded: 409,
    ProjectionNotStopped: 409,
    RebuildRunning: 409,
    RebuildStopped: 409,
    ProgramTooOld: 409,
    RunArchived: 410,
    RunDeleted: 410,
    ArtifactGone: 410,
    ArtifactRejected: 410,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    RangeNotSatisfiable: 416,
    HostNotAllowed: 421,
    ComeLater: 429,
    HeadTooLarge: 431,
    NeedsNewerProgram: 503,
    DeadlineExceeded: 503,
    Overloaded: 503,
    ProjectionLagging: 503,
    RebuildInterrupted: 503,
    NotReady: 503,
    IdentityProviderAway: 503,
}

# Error codes by status, for errors that the framework raises.
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
_MAX_LISTED = 1000
_MAX_HINTS = 10
_WORDS = {
    "^[^:]+$": "must not be empty or contain ':'",
    r"^[^:\x00]{1,255}:[^\x00]{0,255}$": "must have the form key:value",
    r"^[\x20-\x7e]+$": "must be printable ASCII",
    "^[0-9a-f]{64}$": "must be 64 hexadecimal digits in lower case",
}
"""Messages to use instead of the regular expression that did not match."""

READ_ONLY = "the database is read-only: a standby, or default_transaction_read_only is on"

_RETRY = {"Retry-After": "1"}
_CLOSE = {"Connection": "close"}


def answer_to(error: Exception) -> Json | None:
    """Return the response for an error, or None if the error is unexpected (see `unforeseen`)."""
    if isinstance(error, DomainError | RequestError):
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
        if status is None:
            return None
        code = InvalidRequest.code if isinstance(error, InputNotCanonical) else error.code
        return _answer(status, code, error.message, error.details, _headers(error, status))
    if isinstance(error, DatabaseUnavailable) and error.read_only:
        return _answer(503, "DATABASE_UNAVAILABLE", f"{READ_ONLY}; try again", {}, _RETRY)
    if isinstance(error, DatabaseUnavailable) or type(error) is ConnectionError:
        return _answer(503, "DATABASE_UNAVAILABLE", "the database is unavailable; try again", {}, _RETRY)
    if isinstance(error, StoreUnavailable):
        logger.warning("artifact store unavailable: %s", error)  # the place of the store is not for callers
        message = "the artifact store is unavailable; try again"
        return _answer(503, "ARTIFACT_STORE_UNAVAILABLE", message, {}, _RETRY)
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, HTTPStatus(error.status_code).name)
        message = "no such path; /docs lists the endpoints" if error.status_code == 404 else str(error.detail)
        return _answer(error.status_code, code, message, {}, error.headers)
    return None


def unforeseen() -> Json:
    """Return the response to an unexpected error. Its cause is written only to the log."""
    return _answer(500, "INTERNAL_ERROR", "internal error; the server log has the details", {}, None)


def to_faults(error: ValidationError, root: str = "", hint: Hint | None = None) -> list[Fault]:
    """Return the faults that a pydantic validation found.

    Args:
        error: the validation error.
        root: the name of the validated value.
        hint: returns a hint for an unknown field, given its location.
    """
    if error.error_count() > _MAX_LISTED:  # listing them would block the event loop for too long
        return [Fault(root or "body", f"has {error.error_count():,} faults, too many to list")]
    faults, hints = [], 0
    for found in error.errors(include_url=False, include_input=False):
        message = found["msg"].removeprefix("Value error, ")
        if found["type"] == "string_pattern_mismatch":
            message = _WORDS.get(found["ctx"]["pattern"], message)
        loc = found["loc"][:-1] if found["loc"][-1:] == ("[key]",) else found["loc"]
        if found["type"] == "extra_forbidden" and hint is not None:
            hints += 1
            message = f"is an unknown field{hint(loc) if hints <= _MAX_HINTS else ''}"
        faults.append(Fault(place(loc, root) if loc else root or "body", message))
    return faults


def _headers(error: Exception, status: int) -> Mapping[str, str] | None:
    match error:
        case RangeNotSatisfiable():
            return {"Content-Range": f"bytes */{error.details['sizeBytes']}"}
        case BodyTooLarge() | BodyTooSlow():
            return _CLOSE  # the rest of the body is not read
        case Unauthenticated():
            problem = f', error="{error.problem}"' if error.problem else ""
            return {"WWW-Authenticate": f'Bearer realm="orchestrator"{problem}'}
        case ComeLater():
            return {"Retry-After": str(error.seconds)}
    return _RETRY if status == 503 else None


def _answer(
    status: int, code: str, message: str, details: Mapping[str, Any], headers: Mapping[str, str] | None
) -> Json:
    return Json({"error": code, "message": message, "details": dict(details)}, status, headers)
