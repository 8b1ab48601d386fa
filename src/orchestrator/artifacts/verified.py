"""A stream of an artifact's bytes that compares them with the recorded hash when the last one is read."""

import io
from hashlib import sha256
from typing import BinaryIO, cast

from orchestrator.artifacts.blobs import CHUNK_BYTES
from orchestrator.artifacts.errors import ArtifactGone
from orchestrator.domain.output import Artifact


def verified(source: BinaryIO, artifact: Artifact) -> BinaryIO:
    """Return a stream over the bytes of an artifact. It reads forward only, and closes `source` when it is closed.

    The read that reaches the end raises ArtifactGone if the size or the SHA-256 of all bytes is not the recorded one.
    """
    return cast("BinaryIO", io.BufferedReader(_Verified(source, artifact), CHUNK_BYTES))


class _Verified(io.RawIOBase):
    """Reads from `source` and hashes what it passes on."""

    def __init__(self, source: BinaryIO, artifact: Artifact) -> None:
        super().__init__()
        self._source = source
        self._artifact = artifact
        self._hash = sha256()
        self._size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # RawIOBase passes a memoryview
        """Read the next bytes, and check all of them at the end."""
        chunk = self._source.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._hash.update(chunk)
        self._size += len(chunk)
        if not chunk or self._size >= self._artifact.size_bytes:
            self._check()
        return len(chunk)

    def close(self) -> None:
        """Close the source as well."""
        if not self.closed:
            self._source.close()
        super().close()

    def _check(self) -> None:
        if self._size != self._artifact.size_bytes or self._hash.hexdigest() != self._artifact.content_hash:
            raise ArtifactGone(f"artifact {self._artifact.id} was altered", artifactId=self._artifact.id)
