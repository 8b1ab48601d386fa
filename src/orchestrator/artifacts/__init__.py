"""What was made: a content-addressed store of the files and bytes that steps leave behind.

The same bytes are stored once, writes are atomic, and nothing is taken on trust: an artifact is checked
against its recorded size and hash before a cached result that rests on it is used again.
"""

from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.artifacts.verify import verify, verify_all

__all__ = ["ArtifactGone", "ArtifactRejected", "ArtifactStore", "verify", "verify_all"]
