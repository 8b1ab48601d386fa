"""Errors of requests, in addition to those of the domain.

RequestError
├── InvalidRequest           lists every fault of the request with its path
├── DeadlineExceeded
├── ProjectionLagging
├── DeletionHeld
└── ArtifactNotFound
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.errors import MAX_FAULTS, MAX_TOLD, Fault


class RequestError(Exception):
    """A request cannot be served. It has the same attributes as a domain error."""

    code = "INTERNAL_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidRequest(RequestError):
    """The request is invalid. Up to `MAX_FAULTS` faults are listed with their paths."""

    code = "VALIDATION_ERROR"

    def __init__(self, faults: Sequence[Fault], **details: Any) -> None:
        listed = "; ".join(str(fault) for fault in faults[:MAX_TOLD])
        more = f"; and {len(faults) - MAX_TOLD:,} more" if len(faults) > MAX_TOLD else ""
        super().__init__(
            f"the request is not valid: {listed}{more}",
            faults=[{"path": fault.path, "message": fault.message} for fault in faults[:MAX_FAULTS]],
            **details,
        )


class DeadlineExceeded(RequestError):
    """The response was not ready in time."""

    code = "DEADLINE_EXCEEDED"


class ProjectionLagging(RequestError):
    """The read models did not reach the requested position in time."""

    code = "PROJECTION_LAGGING"


class DeletionHeld(RequestError):
    """The run cannot be deleted now: something else is archiving, deleting, pruning or rebuilding."""

    code = "DELETION_HELD"


class ArtifactNotFound(RequestError):
    """The artifact does not exist."""

    code = "ARTIFACT_NOT_FOUND"
