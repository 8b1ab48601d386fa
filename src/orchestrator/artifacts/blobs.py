"""Bytes under a path of an fsspec file system: written atomically, hashed once per state of the file."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from orchestrator.artifacts.private import create_private_file, make_private_folder

CHUNK_BYTES = 1 << 20

_REMEMBERED = 100_000


class Blobs:
    """Files below one root. Safe to use from several threads and processes at once.

    Local files and folders that are made here are private to their owner.

    Args:
        url: the root, an fsspec url.
        durable: flush local files to the disk before they are published.
        settled_seconds: a hash is remembered only for a file left alone for this long: one changed again
            within a tick of the file system's clock (up to 2 s, on some) keeps its times.
    """

    def __init__(self, url: str, *, durable: bool = True, settled_seconds: float = 2.0) -> None:
        self._fs, root = fsspec.core.url_to_fs(url)
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self.root: str = str(Path(root).resolve()) if self.is_local else root.rstrip("/")
        self._durable = durable and self.is_local
        self._settled_seconds = settled_seconds
        self._hashes: dict[tuple[Any, ...], str] = {}

    def uri(self, path: str) -> str:
        """Return the fsspec url of a path."""
        return str(self._fs.unstrip_protocol(path))

    def write(self, chunks: Iterable[bytes], folder: str) -> tuple[str, str, int]:
        """Write chunks under a temporary name in `folder`; return (path, SHA-256 in hex, size in bytes)."""
        path, digest, size = f"{folder}/{uuid4().hex}", sha256(), 0
        try:
            with self._create(path) as file:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            self.discard(path)
            raise
        return path, digest.hexdigest(), size

    def publish(self, temporary: str, path: str) -> None:
        """Give a temporary file its final name, in one step: readers see all of it or nothing."""
        try:
            self._rename(temporary, path)
        except FileNotFoundError:
            self._make_folder_of(path)
            self._rename(temporary, path)
        if self._durable:
            _sync_folder(Path(path).parent)

    def discard(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            FileNotFoundError: it is not there.
        """
        if isinstance(self._fs, MemoryFileSystem):  # its readers would share one position
            return BytesIO(self._fs.cat_file(path))
        return cast("BinaryIO", self._fs.open(path, "rb"))

    def fault(self, path: str, size: int, content_hash: str) -> str | None:
        """Return what is wrong with a file of this size (bytes) and SHA-256, or None when it is intact."""
        try:
            info = self._fs.info(path)
            if info["type"] != "file":
                return "missing: there is no file"
            if info["size"] != size:
                kind = "truncated" if info["size"] < size else "altered"
                return f"{kind}: size {info['size']} instead of {size}"
            found = self._sha256(path, info)
        except FileNotFoundError:
            return "missing: there is no file"
        except OSError as error:
            return f"unreadable: {error}"
        return None if found == content_hash else f"altered: hash {found} instead of {content_hash}"

    def holds(self, path: str, size: int, content_hash: str) -> bool:
        """Whether these bytes are stored already. Object stores vouch for content of the right size."""
        if self.is_local:
            return self.fault(path, size, content_hash) is None
        try:
            return bool(self._fs.info(path)["size"] == size)
        except FileNotFoundError:
            return False

    def _sha256(self, path: str, info: dict[str, Any]) -> str:
        state = self._state(path, info)
        if state is not None and (known := self._hashes.get(state)):
            return known
        with self.open(path) as file:
            found = _digest(iter(lambda: file.read(CHUNK_BYTES), b""))
        if state is not None and state == self._state(path, info):
            if len(self._hashes) >= _REMEMBERED:
                self._hashes.clear()
            self._hashes[state] = found
        return found

    def _state(self, path: str, info: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return what changes whenever the file does, or None when nothing so reliable is known."""
        if not self.is_local:
            tag = info.get("ETag") or info.get("etag") or info.get("generation")
            return (path, info["size"], tag) if tag else None
        status = Path(path).stat()
        if time.time() - max(status.st_mtime, status.st_ctime) < self._settled_seconds:
            return None
        return path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    def _create(self, path: str) -> Any:
        if not self.is_local:
            return self._fs.open(path, "wb")
        try:
            return create_private_file(Path(path))
        except FileNotFoundError:
            self._make_folder_of(path)
            return create_private_file(Path(path))

    def _make_folder_of(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if self.is_local:
            make_private_folder(Path(folder))
        else:
            self._fs.makedirs(folder, exist_ok=True)

    def _rename(self, source: str, target: str) -> None:
        if self.is_local:
            Path(source).replace(target)
        else:
            self._fs.mv(source, target)


def _digest(chunks: Iterator[bytes]) -> str:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
