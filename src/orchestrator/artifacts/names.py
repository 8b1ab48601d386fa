"""Names that come from outside: what is refused, and how a tenant becomes a folder."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.artifacts.errors import ArtifactRejected
from orchestrator.domain.bounds import MAX_BYTES
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import canonical

MAX_NAME = 255
MAX_URI = 8192

_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")


def tenant_folder(tenant: str) -> str:
    """Return the folder of a tenant: one safe path segment, a different one for every tenant.

    Raises:
        ArtifactRejected: the tenant is empty, or its folder would be longer than 255 characters.
    """
    folder = _UNSAFE.sub(lambda match: b"=%02X" % match[0][0], tenant.encode("utf-8", "surrogatepass")).decode()
    if folder.startswith("."):  # `.` and `..` are not folders of ours, dotfiles are hidden
        folder = f"=2E{folder[1:]}"
    if not folder or len(folder) > MAX_NAME:
        raise ArtifactRejected(f"tenant {tenant[:80]!r} cannot name a folder", field="tenant")
    return folder


def checked_filename(filename: str | None) -> str | None:
    """Return the filename when it is harmless: relative, `/` between segments, no way up.

    Raises:
        ArtifactRejected: it is empty, longer than 255 characters, absolute, climbs with `..`, or holds a
            control character, a backslash or text that is not Unicode.
    """
    if filename is None:
        return None
    if why := _filename_fault(filename):
        raise ArtifactRejected(f"filename {filename[:80]!r} {why}", field="filename")
    return filename


def checked_type(artifact_type: str) -> str:
    """Return the type (a media type, or any short label) when it can be recorded.

    Raises:
        ArtifactRejected: it is empty, longer than 255 characters or holds control characters.
    """
    if not artifact_type or len(artifact_type) > MAX_NAME or not artifact_type.isprintable():
        raise ArtifactRejected(f"type {artifact_type[:80]!r} is not 1 to {MAX_NAME} printable characters", field="type")
    return artifact_type


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metadata as a dict of its own.

    Raises:
        ArtifactRejected: it has no canonical JSON form.
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
    """Return the number of bytes that an artifact is said to have; -1 when nobody knows.

    Raises:
        ArtifactRejected: it is no integer, or out of bounds.
    """
    if type(size_bytes) is not int or not -1 <= size_bytes <= MAX_BYTES:
        raise ArtifactRejected("the size is not an integer from -1 (unknown) to 2**53 - 1", field="sizeBytes")
    return size_bytes


def checked_outside_uri(uri: str) -> str:
    """Return a uri that points outside the store.

    Raises:
        ArtifactRejected: it is not an absolute http or https uri of at most 8,192 printable characters.
    """
    try:
        parts = urlsplit(uri)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or len(uri) > MAX_URI or not uri.isprintable() or " " in uri:
        raise ArtifactRejected(f"uri {uri[:80]!r} is not an absolute http or https uri", field="uri")
    return uri


def checked_hash(content_hash: str) -> str:
    """Return the hash in lower case; empty stands for unknown.

    Raises:
        ArtifactRejected: it is not the SHA-256 of something in hex.
    """
    lowered = content_hash.lower()
    if lowered and not _SHA256.fullmatch(lowered):
        raise ArtifactRejected(f"contentHash {content_hash[:80]!r} is not a SHA-256 in hex", field="contentHash")
    return lowered


def _filename_fault(filename: str) -> str | None:
    if not filename or len(filename) > MAX_NAME:
        return f"has {len(filename)} characters; 1 to {MAX_NAME} are allowed"
    if any(ord(character) < 32 or ord(character) == 127 for character in filename):
        return "holds a control character"
    if "\\" in filename:
        return "holds a backslash"
    if filename.startswith("/") or _DRIVE.match(filename):
        return "is absolute"
    if any(segment in ("", ".", "..") for segment in filename.split("/")):
        return "has an empty, `.` or `..` segment"
    if any(0xD800 <= ord(character) <= 0xDFFF for character in filename):
        return "is not Unicode text"
    return None
