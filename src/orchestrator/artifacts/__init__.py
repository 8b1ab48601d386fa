"""The artifact store: a content-addressed store for the files and bytes that steps produce.

The same bytes are stored once, and writes are atomic. Before a cached result is reused, each of its artifacts is
checked against the recorded size and hash.
"""

from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected, StoreUnavailable
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.verify import verify, verify_all

__all__ = ["ArtifactGone", "ArtifactRejected", "ArtifactStore", "StoreUnavailable", "verify", "verify_all"]
