"""Writes an artifact to a file: complete and verified, or not at all."""

from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from orchestrator.artifacts.errors import ArtifactGone
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact

_CHUNK_BYTES = 1 << 20


def save(store: ArtifactStore, artifact: Artifact, tenant: str, target: str | PathLike[str]) -> None:
    """Write an artifact to a file. An existing file or symbolic link is replaced; the folder must exist.

    Raises:
        ArtifactGone: the bytes are missing or were altered.
        ArtifactRejected: the bytes are stored elsewhere.
        OSError: the file cannot be written.
    """
    path = Path(target)
    partial = path.with_name(f".{uuid4().hex}.part")
    with store.open(artifact, tenant) as source:
        try:
            _copy(source, partial, artifact)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _copy(source: BinaryIO, target: Path, artifact: Artifact) -> None:
    found = sha256()
    with target.open("xb") as copy:
        while chunk := source.read(_CHUNK_BYTES):
            found.update(chunk)
            copy.write(chunk)
    if found.hexdigest() != artifact.content_hash:
        raise ArtifactGone(f"artifact {artifact.id} was altered", artifactId=artifact.id)
