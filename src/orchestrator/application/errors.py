"""Why a request is refused, besides what the domain refuses.

RequestError
├── InvalidRequest           every fault of the request, each with its path
├── DeadlineExceeded
└── ProjectionLagging
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.errors import Fault


class RequestError(Exception):
    """A request cannot be served; the same shape as a domain error."""

    code = "INTERNAL_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidRequest(RequestError):
    """The request breaks the contract; every fault is listed with its path."""

    code = "VALIDATION_ERROR"

    def __init__(self, faults: Sequence[Fault], **details: Any) -> None:
        listed = "; ".join(str(fault) for fault in faults)
        super().__init__(
            f"the request is not valid: {listed}",
            faults=[{"path": fault.path, "message": fault.message} for fault in faults],
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
