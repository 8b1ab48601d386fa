"""Errors of the artifact store.

DomainError
├── ArtifactRejected    the artifact is not accepted, for example an invalid name or URI (also a ValueError)
└── ArtifactGone        the stored bytes of the artifact are missing or altered

OSError
└── StoreUnavailable    the store cannot be used now: unreachable, its bucket missing, or the credentials refused
"""

from orchestrator.domain.errors import DomainError


class ArtifactRejected(DomainError, ValueError):
    """The artifact is not accepted."""

    code = "ARTIFACT_REJECTED"


class ArtifactGone(DomainError):
    """The stored bytes of the artifact are missing or altered."""

    code = "ARTIFACT_GONE"


class StoreUnavailable(OSError):
    """The artifact store cannot be used now; nothing is known about its content. The message names what to check."""
