"""The store: bytes and files in, artifacts out, each under the hash of its content."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from orchestrator.artifacts.blobs import CHUNK_BYTES, Blobs
from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected
from orchestrator.artifacts.names import (
    checked_filename,
    checked_hash,
    checked_metadata,
    checked_outside_uri,
    checked_size,
    checked_type,
    tenant_folder,
)
from orchestrator.domain.output import Artifact, Output, artifact_id

JSON_TYPE = "application/json"


class ArtifactStore:
    """Content-addressed artifacts at an fsspec url: `<root>/<tenant>/sha256/ab/cdef...`.

    Args:
        url: a folder (`/var/lib/x` or `file:///var/lib/x`), `memory://x`, `s3://bucket/x` and so on.
        spill_bytes: `data` of an output whose JSON is longer than this is kept as an artifact.
        durable: flush local files to the disk before they are published, so that an artifact named in the
            log survives a power cut as the log does.
    """

    def __init__(self, url: str, spill_bytes: int = 32768, *, durable: bool = True) -> None:
        self.url = url
        self.spill_bytes = spill_bytes
        self.blobs = Blobs(url, durable=durable)

    def put_bytes(
        self,
        tenant: str,
        data: bytes | bytearray | memoryview,
        *,
        type: str,  # noqa: A002 - the word of the domain
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store bytes.

        Raises:
            ArtifactRejected: the type, filename or metadata cannot be taken.
            OSError: the store cannot be written; nothing is left behind.
        """
        content = bytes(data)
        described = _described(type, filename, metadata)
        content_hash = sha256(content).hexdigest()
        path = self._path(tenant, content_hash)
        if not self.blobs.holds(path, len(content), content_hash):
            temporary, _, _ = self.blobs.write([content], self._incoming(tenant))
            self.blobs.publish(temporary, path)
        return self._artifact(tenant, content_hash, len(content), path, described)

    def put_file(
        self,
        tenant: str,
        path: str | PathLike[str],
        *,
        type: str,  # noqa: A002
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store a file, in one pass and constant memory; `filename` defaults to the name of the file.

        Raises:
            ArtifactRejected: the type, filename or metadata cannot be taken.
            OSError: the file cannot be read or the store cannot be written; nothing is left behind.
        """
        source = Path(path)
        described = _described(type, source.name if filename is None else filename, metadata)
        temporary, content_hash, size = self.blobs.write(_chunks(source), self._incoming(tenant))
        final = self._path(tenant, content_hash)
        if self.blobs.holds(final, size, content_hash):
            self.blobs.discard(temporary)
        else:
            self.blobs.publish(temporary, final)
        return self._artifact(tenant, content_hash, size, final, described)

    def register_uri(
        self,
        tenant: str,
        uri: str,
        *,
        type: str,  # noqa: A002
        content_hash: str = "",
        size_bytes: int = -1,
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Take note of something that lives at an http or https uri; its bytes are not fetched.

        Raises:
            ArtifactRejected: the uri is of another kind, or the hash, size, type, filename or metadata is at fault.
        """
        described = _described(type, filename, metadata)
        outside, known_hash = checked_outside_uri(uri), checked_hash(content_hash)
        known_size = checked_size(size_bytes)
        identity = artifact_id(tenant, known_hash or outside, type)
        return Artifact(identity, described[0], outside, known_hash, known_size, described[1], described[2])

    def open(self, artifact: Artifact, tenant: str | None = None) -> BinaryIO:
        """Open the bytes of an artifact for reading; of one tenant's only, when one is named.

        Raises:
            ArtifactGone: they are no longer there.
            ArtifactRejected: they are not kept by this store (a uri from outside, say), or belong to another tenant.
        """
        path = self._own_path(artifact, tenant)
        try:
            return self.blobs.open(path)
        except FileNotFoundError as error:
            raise ArtifactGone(f"artifact {artifact.id} is missing", artifactId=artifact.id) from error

    def read(self, artifact: Artifact, tenant: str | None = None) -> bytes:
        """Return the bytes of an artifact, checked against its hash; of one tenant's only, when one is named.

        Raises:
            ArtifactGone: they are missing or not what they were.
            ArtifactRejected: they are not kept by this store, or belong to another tenant.
        """
        with self.open(artifact, tenant) as file:
            content = file.read()
        if sha256(content).hexdigest() != artifact.content_hash:
            raise ArtifactGone(f"artifact {artifact.id} was altered", artifactId=artifact.id)
        return content

    def local_path(self, artifact: Artifact) -> Path | None:
        """Return where the bytes are on this machine's disk; None when the store is elsewhere."""
        path = self.blobs.path(artifact.uri) if self.blobs.is_local else None
        return None if path is None else Path(path)

    def fault(self, artifact: Artifact) -> str | None:
        """Return what is wrong with the stored bytes of an artifact in words, or None when they are intact."""
        path = self.blobs.path(artifact.uri)
        if path is None:
            return f"out of reach: {artifact.uri} is not in this store"
        return self.blobs.fault(path, artifact.size_bytes, artifact.content_hash)

    def must_spill(self, output: Output) -> bool:
        """Say whether the JSON of an output's data is longer than `spill_bytes`."""
        return output.data is not None and len(orjson.dumps(output.data)) > self.spill_bytes

    def spill(self, tenant: str, output: Output) -> Output:
        """Return the output with `data` replaced by a reference when its JSON is longer than `spill_bytes`."""
        if not self.must_spill(output):
            return output
        ordered = orjson.dumps(output.data, option=orjson.OPT_SORT_KEYS)  # equal data, equal hash
        reference = self.put_bytes(tenant, ordered, type=JSON_TYPE, filename="data.json")
        return replace(output, data=None, data_ref=reference)

    def load_data(self, output: Output, tenant: str | None = None) -> Any:
        """Return the data of an output, from the store when it was spilled.

        Raises:
            ArtifactGone: the spilled data is missing or not what it was.
            ArtifactRejected: it belongs to another tenant than the one named.
        """
        return output.data if output.data_ref is None else orjson.loads(self.read(output.data_ref, tenant))

    def _own_path(self, artifact: Artifact, tenant: str | None = None) -> str:
        path = self.blobs.path(artifact.uri)
        if path is None:
            raise ArtifactRejected(f"{artifact.uri} is not kept by this store", artifactId=artifact.id)
        if tenant is not None and not path.startswith(f"{self._folder(tenant)}/"):
            raise ArtifactRejected(f"artifact {artifact.id} is not one of tenant {tenant}", artifactId=artifact.id)
        return path

    def _path(self, tenant: str, content_hash: str) -> str:
        return f"{self._folder(tenant)}/sha256/{content_hash[:2]}/{content_hash[2:]}"

    def _incoming(self, tenant: str) -> str:
        return f"{self._folder(tenant)}/incoming"

    def _folder(self, tenant: str) -> str:
        return f"{self.blobs.root}/{tenant_folder(tenant)}"

    def _artifact(self, tenant: str, content_hash: str, size: int, path: str, described: "_Description") -> Artifact:
        kind, filename, metadata = described
        identity = artifact_id(tenant, content_hash, kind)
        return Artifact(identity, kind, self.blobs.uri(path), content_hash, size, filename, metadata)


_Description = tuple[str, str | None, dict[str, Any]]


def _described(kind: str, filename: str | None, metadata: Mapping[str, Any] | None) -> _Description:
    """Check what describes an artifact before a byte of it is written."""
    return checked_type(kind), checked_filename(filename), checked_metadata(metadata)


def _chunks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        yield from _until_empty(file)


def _until_empty(file: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: file.read(CHUNK_BYTES), b"")
