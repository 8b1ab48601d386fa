"""Why a request is refused, besides what the domain refuses.

RequestError
├── InvalidRequest           every fault of the request, each with its path
├── DeadlineExceeded
└── ProjectionLagging
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.errors import MAX_FAULTS, MAX_TOLD, Fault


class RequestError(Exception):
    """A request cannot be served; the same shape as a domain error."""

    code = "INTERNAL_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidRequest(RequestError):
    """The request breaks the contract; up to `MAX_FAULTS` faults are listed with their paths."""

    code = "VALIDATION_ERROR"

    def __init__(self, faults: Sequence[Fault], **details: Any) -> None:
        told = "; ".join(str(fault) for fault in faults[:MAX_TOLD])
        more = f"; and {len(faults) - MAX_TOLD:,} more" if len(faults) > MAX_TOLD else ""
        super().__init__(
            f"the request is not valid: {told}{more}",
            faults=[{"path": fault.path, "message": fault.message} for fault in faults[:MAX_FAULTS]],
            **details,
        )


class DeadlineExceeded(RequestError):
    """The answer was not ready in time."""

    code = "DEADLINE_EXCEEDED"


class ProjectionLagging(RequestError):
    """The read models have not reached the position asked for in time."""

    code = "PROJECTION_LAGGING"


class ArtifactNotFound(RequestError):
    """No such artifact."""

    code = "ARTIFACT_NOT_FOUND"
