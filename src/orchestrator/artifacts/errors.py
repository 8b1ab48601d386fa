"""Errors of the artifact store.

DomainError
├── ArtifactRejected    the artifact is not accepted, for example an invalid name or URI (also a ValueError)
└── ArtifactGone        the stored bytes of the artifact are missing or altered
"""

from orchestrator.domain.errors import DomainError


class ArtifactRejected(DomainError, ValueError):
    """The artifact is not accepted."""

    code = "ARTIFACT_REJECTED"


class ArtifactGone(DomainError):
    """The stored bytes of the artifact are missing or altered."""

    code = "ARTIFACT_GONE"
