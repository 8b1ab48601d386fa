"""Validate names and URIs from skills, and map tenants to folders."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.artifacts.errors import ArtifactRejected
from orchestrator.domain.bounds import MAX_BYTES
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import canonical
from orchestrator.domain.output import Artifact

MAX_NAME = 255
MAX_URI = 8192

_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")


def tenant_folder(tenant: str) -> str:
    """Return the folder of a tenant: one safe path segment, unique to the tenant.

    Raises:
        ArtifactRejected: the tenant is empty, or its folder name is longer than 255 characters.
    """
    folder = _UNSAFE.sub(lambda match: b"=%02X" % match[0][0], tenant.encode("utf-8", "surrogatepass")).decode()
    if folder.startswith("."):  # `.` and `..` are special, and dotfiles are hidden
        folder = f"=2E{folder[1:]}"
    if not folder or len(folder) > MAX_NAME:
        raise ArtifactRejected(f"tenant {tenant[:80]!r} cannot be used as a folder name", field="tenant")
    return folder


def checked_filename(filename: str | None) -> str | None:
    """Return the filename if it is safe: relative, with `/` between segments, and inside its folder.

    Raises:
        ArtifactRejected: the filename is empty, longer than 255 characters or absolute, or contains an empty, `.` or
            `..` segment, a control character, a backslash or invalid Unicode.
    """
    if filename is None:
        return None
    if why := _filename_fault(filename):
        raise ArtifactRejected(f"filename {filename[:80]!r} {why}", field="filename")
    return filename


def checked_type(artifact_type: str) -> str:
    """Return the type (a media type, or any short label) if it is valid.

    Raises:
        ArtifactRejected: the type is empty, longer than 255 characters or not printable.
    """
    if not artifact_type or len(artifact_type) > MAX_NAME or not artifact_type.isprintable():
        raise ArtifactRejected(
            f"type {artifact_type[:80]!r} must have 1 to {MAX_NAME} printable characters", field="type"
        )
    return artifact_type


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of the metadata as a dict.

    Raises:
        ArtifactRejected: the metadata has no canonical JSON form.
    """
    if not metadata:
        return {}
    plain = dict(metadata)
    try:
        canonical(plain)
    except InputNotCanonical as error:
        raise ArtifactRejected(f"metadata: {error.message}", field="metadata") from error
    return plain


def checked_size(size_bytes: int) -> int:
    """Return the declared size of an artifact in bytes; -1 means unknown.

    Raises:
        ArtifactRejected: the size is not an integer, or out of bounds.
    """
    if type(size_bytes) is not int or not -1 <= size_bytes <= MAX_BYTES:
        raise ArtifactRejected("the size must be an integer from -1 (unknown) to 2**53 - 1", field="sizeBytes")
    return size_bytes


def checked_outside_uri(uri: str) -> str:
    """Return the URI of an external artifact if it is valid.

    Raises:
        ArtifactRejected: it is not an absolute http or https URI of at most 8,192 printable characters.
    """
    try:
        parts = urlsplit(uri)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or len(uri) > MAX_URI or not uri.isprintable() or " " in uri:
        raise ArtifactRejected(f"uri {uri[:80]!r} must be an absolute http or https URI", field="uri")
    return uri


def is_outside(artifact: Artifact) -> bool:
    """Return whether an artifact is external, at a URI that a skill returned."""
    return is_outside_uri(artifact.uri)


def is_outside_uri(uri: str) -> bool:
    """Return whether a URI is external: http or https, so not in an artifact store."""
    return uri.startswith(("http://", "https://"))


def checked_hash(content_hash: str) -> str:
    """Return the hash in lower case; empty means unknown.

    Raises:
        ArtifactRejected: it is not a SHA-256 in hex.
    """
    lowered = content_hash.lower()
    if lowered and not _SHA256.fullmatch(lowered):
        raise ArtifactRejected(f"contentHash {content_hash[:80]!r} must be a SHA-256 in hex", field="contentHash")
    return lowered


def _filename_fault(filename: str) -> str | None:
    if not filename or len(filename) > MAX_NAME:
        return f"has {len(filename)} characters; 1 to {MAX_NAME} are allowed"
    if any(ord(character) < 32 or ord(character) == 127 for character in filename):
        return "contains a control character"
    if "\\" in filename:
        return "contains a backslash"
    if filename.startswith("/") or _DRIVE.match(filename):
        return "is an absolute path"
    if any(segment in ("", ".", "..") for segment in filename.split("/")):
        return "contains an empty, `.` or `..` segment"
    if any(0xD800 <= ord(character) <= 0xDFFF for character in filename):
        return "is not valid Unicode"
    return None
