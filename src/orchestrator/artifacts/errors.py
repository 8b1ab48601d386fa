"""Errors of the store.

DomainError
├── ArtifactRejected    the artifact cannot be taken in: a name, a uri or a value at fault (also a ValueError)
└── ArtifactGone        the artifact was taken in, and its bytes are no longer there as they were
"""

from orchestrator.domain.errors import DomainError


class ArtifactRejected(DomainError, ValueError):
    """The artifact cannot be taken in."""

    code = "ARTIFACT_REJECTED"


class ArtifactGone(DomainError):
    """The bytes of the artifact are missing or no longer what they were."""

    code = "ARTIFACT_GONE"
