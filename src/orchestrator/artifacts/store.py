"""The artifact store: stores bytes and files under the hash of their content."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected, StoreUnavailable
from orchestrator.artifacts.names import (
    checked_filename,
    checked_hash,
    checked_metadata,
    checked_outside_uri,
    checked_size,
    checked_type,
    is_outside,
    tenant_folder,
)
from orchestrator.artifacts.opened import open_blobs
from orchestrator.artifacts.outage import Outage
from orchestrator.artifacts.outside import Outside
from orchestrator.artifacts.verified import verified
from orchestrator.domain.output import Artifact, Output, artifact_id

JSON_TYPE = "application/json"
PREVIEW_BYTES = 1024
"""How much of the JSON text of spilled data is recorded with its reference, as `preview`."""

# The end of the URI of every artifact that a store has written.
_KEPT = re.compile(
    r"/(?P<tenant>[A-Za-z0-9_=-][A-Za-z0-9._=-]*)/sha256/(?P<first>[0-9a-f]{2})/(?P<rest>[0-9a-f]{62})\Z"
)


class ArtifactStore:
    """Stores content-addressed artifacts below an fsspec URL: `<root>/<tenant>/sha256/ab/cdef...`.

    Args:
        url: a folder (`/var/lib/x` or `file:///var/lib/x`), `memory://x`, `s3://bucket/x` and so on.
        spill_bytes: an output whose `data` is longer than this as JSON is stored as an artifact.
        durable: whether to flush local files to disk before they are published, so that an artifact in the log
            survives a power failure.
        networks: networks, besides public addresses, where external artifacts may be checked.
    """

    def __init__(
        self, url: str, spill_bytes: int = 32768, *, durable: bool = True, networks: Iterable[str] = ()
    ) -> None:
        self.url = url
        self.spill_bytes = spill_bytes
        self.outside = Outside(networks)
        self.blobs = open_blobs(url, durable=durable, read_only=True)
        self._outage = Outage(self.blobs.probe)

    def outage_in(self, error: BaseException) -> str | None:
        """Return why the store is unavailable if an error says so, else None."""
        return str(error) if isinstance(error, StoreUnavailable) else None

    def begin_outage(self, reason: str) -> None:
        """Remember that the store is unavailable: `outage` says so until it has answered again."""
        self._outage.begin(reason)

    def outage(self) -> str | None:
        """Return why the store is unavailable, or None. Never waits for the store."""
        return self._outage.reason()

    def put_bytes(
        self,
        tenant: str,
        data: bytes | bytearray | memoryview,
        *,
        type: str,  # noqa: A002 - the word of the domain
        filename: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store bytes, and return the artifact.

        Raises:
            ArtifactRejected: the type, filename or metadata is invalid.
            OSError: the store cannot be written. No partial file remains.
        """
        content = bytes(data)
        described = _described(type, filename, metadata)
        content_hash = sha256(content).hexdigest()
        path = self._path(tenant, content_hash)
        if not self.blobs.holds(path, len(content), content_hash):
            self.blobs.put([content], path, self._incoming(tenant))
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
        """Store a file with constant memory, and return the artifact.

        `filename` defaults to the name of the file.

        Raises:
            ArtifactRejected: the type, filename or metadata is invalid.
            OSError: the file cannot be read or the store cannot be written. No partial file remains.
        """
        source = Path(path)
        described = _described(type, source.name if filename is None else filename, metadata)
        final, content_hash, size = self.blobs.put_file(source, self._incoming(tenant), partial(self._path, tenant))
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
        """Return an artifact for an external http or https URI. Its bytes are not fetched.

        Raises:
            ArtifactRejected: the URI, hash, size, type, filename or metadata is invalid.
        """
        described = _described(type, filename, metadata)
        outside, known_hash = checked_outside_uri(uri), checked_hash(content_hash)
        known_size = checked_size(size_bytes)
        identity = artifact_id(tenant, known_hash or outside, type)
        return Artifact(identity, described[0], outside, known_hash, known_size, described[1], described[2])

    def open(self, artifact: Artifact, tenant: str | None = None) -> BinaryIO:
        """Open the bytes of an artifact for reading. If a tenant is given, the artifact must belong to it.

        Raises:
            ArtifactGone: the bytes are missing.
            ArtifactRejected: the artifact is not in this store (for example an external URI), or belongs to another
                tenant.
        """
        path = self._own_path(artifact, tenant)
        try:
            return self.blobs.open(path)
        except FileNotFoundError as error:
            raise ArtifactGone(f"artifact {artifact.id} is missing", artifactId=artifact.id) from error

    def read(self, artifact: Artifact, tenant: str | None = None) -> bytes:
        """Return the bytes of an artifact, verified against its hash. If a tenant is given, it must own the artifact.

        Raises:
            ArtifactGone: the bytes are missing or altered.
            ArtifactRejected: the artifact is not in this store, or belongs to another tenant.
        """
        with self.open(artifact, tenant) as file:
            content = file.read()
        if sha256(content).hexdigest() != artifact.content_hash:
            raise ArtifactGone(f"artifact {artifact.id} was altered", artifactId=artifact.id)
        return content

    def open_verified(self, artifact: Artifact, tenant: str) -> BinaryIO:
        """Open an artifact of a tenant: a stream that is verified against the hash by the read that reaches the end.

        Raises:
            ArtifactGone: the bytes are missing; later, from a read: they were altered.
            ArtifactRejected: the artifact is not in this store, or belongs to another tenant.
        """
        return verified(self.open(artifact, tenant), artifact)

    def signed_url(self, artifact: Artifact, tenant: str, seconds: int, headers: Mapping[str, str]) -> str | None:
        """Return an address from which anybody can download an artifact of a tenant, or None if the store has none.

        Only the size is checked: the client compares the hash. See `Blobs.signed_url`.

        Raises:
            ArtifactGone: the bytes are missing, or their size differs.
            ArtifactRejected: the artifact is not in this store, or belongs to another tenant.
            StoreUnavailable: the store cannot be used now.
        """
        path = self._own_path(artifact, tenant)
        url = self.blobs.signed_url(path, seconds, headers)
        if url is not None and self.blobs.size(path) != artifact.size_bytes:
            raise ArtifactGone(f"artifact {artifact.id} is missing or altered", artifactId=artifact.id)
        return url

    def read_only_path(self, artifact: Artifact, tenant: str) -> Path | None:
        """Return the path of an artifact's verified file, or None if it is not a local, read-only file.

        Raises:
            ArtifactGone: the bytes are missing or altered.
            ArtifactRejected: the artifact is not in this store, or belongs to another tenant.
        """
        path = self._own_path(artifact, tenant)
        if self.blobs.is_local and (reason := self.fault(artifact)) is not None:
            raise ArtifactGone(f"artifact {artifact.id} is {reason}", artifactId=artifact.id, reason=reason)
        return Path(path) if self.blobs.is_read_only(path) else None

    def local_path(self, artifact: Artifact) -> Path | None:
        """Return the local path of the bytes, or None if the store is not on a local disk."""
        path = self._kept_path(artifact) if self.blobs.is_local else None
        return None if path is None else Path(path)

    def fault(self, artifact: Artifact) -> str | None:
        """Return a description of what is wrong with the stored bytes of an artifact, or None if they are intact.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        path = self._kept_path(artifact)
        if path is None:
            return f"unreachable: {artifact.uri} is not in this store"
        return self.blobs.fault(path, artifact.size_bytes, artifact.content_hash)

    def must_spill(self, output: Output) -> bool:
        """Return whether the data of an output is longer than `spill_bytes` as JSON."""
        return output.data is not None and len(orjson.dumps(output.data)) > self.spill_bytes

    def spill(self, tenant: str, output: Output) -> Output:
        """Return the output, with `data` moved to the store if it is longer than `spill_bytes` as JSON.

        The metadata of the reference holds the beginning of the text as `preview`.
        """
        if not self.must_spill(output):
            return output
        ordered = orjson.dumps(output.data, option=orjson.OPT_SORT_KEYS)  # equal data, equal hash
        preview = ordered[:PREVIEW_BYTES].decode("utf-8", "ignore")
        reference = self.put_bytes(tenant, ordered, type=JSON_TYPE, filename="data.json", metadata={"preview": preview})
        return replace(output, data=None, data_ref=reference)

    def load_data(self, output: Output, tenant: str | None = None) -> Any:
        """Return the data of an output, read from the store if it was spilled.

        Raises:
            ArtifactGone: the spilled data is missing or altered.
            ArtifactRejected: the spilled data does not belong to the given tenant.
        """
        return output.data if output.data_ref is None else orjson.loads(self.read(output.data_ref, tenant))

    def _own_path(self, artifact: Artifact, tenant: str | None = None) -> str:
        path = self._kept_path(artifact)
        if path is None:
            raise ArtifactRejected(f"{artifact.uri} is not in this store", artifactId=artifact.id)
        if tenant is not None and not path.startswith(f"{self._folder(tenant)}/"):
            raise ArtifactRejected(f"artifact {artifact.id} does not belong to tenant {tenant}", artifactId=artifact.id)
        return path

    def _kept_path(self, artifact: Artifact) -> str | None:
        """Return the path of an artifact in this store, or None if no artifact store wrote it.

        The path follows from the tenant and the content hash. The recorded location does not matter, because the store
        may have been moved, restored elsewhere or mounted under another path since.
        """
        found = _KEPT.search(artifact.uri)
        if found is None or found["first"] + found["rest"] != artifact.content_hash or is_outside(artifact):
            return None
        return f"{self.blobs.root}/{found['tenant']}/sha256/{found['first']}/{found['rest']}"

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
    """Validate the type, filename and metadata of an artifact, before any bytes are written."""
    return checked_type(kind), checked_filename(filename), checked_metadata(metadata)
