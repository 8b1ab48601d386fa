"""Files on an fsspec file system: written atomically, and hashed again only after a change."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, cast
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from orchestrator.artifacts.errors import StoreUnavailable
from orchestrator.artifacts.private import WRITE_BITS, create_private_file, make_private_folder, make_read_only

CHUNK_BYTES = 1 << 20

FRESH_SECONDS = 60.0
"""An object in an object store that was written less than this ago need not be written again to count as new."""

_REMEMBERED = 100_000
_CREATING = Lock()
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""Where file systems give the time when a file was written: local and GCS, S3, Azure, GCS, memory."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a folder. `written_at` is in seconds since 1970 UTC, or None if the file system does not say."""

    path: str
    name: str
    size_bytes: int
    written_at: float | None


class Blobs:
    """Reads and writes files below one root. Safe for concurrent use by several threads and processes.

    Local files and folders that it creates are private to their owner.

    Args:
        url: the root, an fsspec URL.
        durable: whether to flush local files to disk before they are published.
        read_only: whether written local files are read-only (0400), since nothing ever changes them.
        settled_seconds: a hash is cached only if the file has been unchanged for this long. A second change within
            one clock tick of the file system (up to 2 s on some) does not change the file's timestamps.
    """

    def __init__(
        self, url: str, *, durable: bool = True, read_only: bool = False, settled_seconds: float = 2.0
    ) -> None:
        self._fs, root = fsspec.core.url_to_fs(url)
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self.root: str = str(Path(root).resolve()) if self.is_local else root.rstrip("/")
        self._durable = durable and self.is_local
        self._read_only = read_only and self.is_local
        self._settled_seconds = settled_seconds
        self._hashes: dict[tuple[Any, ...], str] = {}

    def probe(self) -> None:
        """Raise StoreUnavailable if the file system is known to be unavailable."""

    def uri(self, path: str) -> str:
        """Return the fsspec URL of a path."""
        return str(self._fs.unstrip_protocol(path))

    def put(self, chunks: Iterable[bytes], path: str, incoming: str) -> tuple[str, int]:
        """Store chunks as a file, whole or not at all, and return its SHA-256 in hex and its size in bytes.

        Args:
            chunks: the content.
            path: the file; one that exists is replaced.
            incoming: the folder for the file while it is incomplete, if the file system needs one.

        Raises:
            OSError: the file cannot be written. No partial file remains.
        """
        temporary, content_hash, size = self.write(chunks, incoming)
        self.publish(temporary, path)
        return content_hash, size

    def put_file(self, source: Path, incoming: str, path_of: Callable[[str], str]) -> tuple[str, str, int]:
        """Store a copy of a local file with constant memory, and return its path, SHA-256 in hex and size in bytes.

        Args:
            source: the local file.
            incoming: see `put`.
            path_of: returns the path for a SHA-256. A file there that has the content already is kept.

        Raises:
            OSError: the file cannot be read or written. No partial file remains.
        """
        temporary, content_hash, size = self.write(_chunks(source), incoming)
        path = path_of(content_hash)
        if self.holds(path, size, content_hash):
            self.discard(temporary)
        else:
            self.publish(temporary, path)
        return path, content_hash, size

    def create(self, path: str, content: bytes) -> bool:
        """Create a file with this content, whole or not at all. Return False, and change nothing, if it exists.

        Of several processes that create the same file, one gets True.

        Raises:
            OSError: the file cannot be written.
        """
        if not self.is_local:
            with _CREATING, suppress(FileExistsError):
                self._fs.pipe_file(path, content, mode="create")
                return True
            return False
        temporary, _, _ = self.write([content], path.rpartition("/")[0])
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            self.discard(temporary)
        if self._durable:
            _sync_folder(Path(path).parent)
        return True

    def write(self, chunks: Iterable[bytes], folder: str) -> tuple[str, str, int]:
        """Write chunks under a temporary name in `folder`; return (path, SHA-256 in hex, size in bytes)."""
        path, digest, size = f"{folder}/{uuid4().hex}", sha256(), 0
        try:
            with self._create(path) as file:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                if self._read_only:
                    make_read_only(file)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            self.discard(path)
            raise
        return path, digest.hexdigest(), size

    def publish(self, temporary: str, path: str) -> None:
        """Move a temporary file to its final name atomically: readers see the whole file or none."""
        try:
            self._rename(temporary, path)
        except FileNotFoundError:
            self._make_folder_of(path)
            self._rename(temporary, path)
        if self._durable:
            _sync_folder(Path(path).parent)

    def discard(self, path: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        if isinstance(self._fs, MemoryFileSystem):  # all of its readers share one position
            return BytesIO(self._fs.cat_file(path))
        return cast("BinaryIO", self._fs.open(path, "rb"))

    def signed_url(self, path: str, seconds: int, headers: Mapping[str, str]) -> str | None:  # noqa: ARG002
        """Return an address from which anybody can download a file for some seconds, or None if there is none.

        Args:
            path: the file.
            seconds: how long the address is valid.
            headers: the `Content-Type` and `Content-Disposition` of the download.
        """
        return None

    def fault(self, path: str, size: int, content_hash: str) -> str | None:
        """Return what is wrong with a file, or None if it has this size in bytes and this SHA-256.

        Raises:
            StoreUnavailable: the file system cannot be used now, so nothing is known about the file.
        """
        try:
            info = self._info(path)
            if info["type"] != "file":
                return "missing: no such file"
            if info["size"] != size:
                kind = "truncated" if info["size"] < size else "altered"
                return f"{kind}: size {info['size']} instead of {size}"
            found = self._sha256(path, info)
        except FileNotFoundError:
            return "missing: no such file"
        except StoreUnavailable:
            raise
        except OSError as error:
            return f"unreadable: {error}"
        return None if found == content_hash else f"altered: hash {found} instead of {content_hash}"

    def is_read_only(self, path: str) -> bool:
        """Return whether a path is a local file that its mode protects from being changed."""
        return self.is_local and not Path(path).stat().st_mode & WRITE_BITS

    def holds(self, path: str, size: int, content_hash: str) -> bool:
        """Return whether these bytes are already stored, so that the caller need not write them.

        They then count as just written, so that no sweep removes them before the log names them: a local file gets a
        new time, and an object that is older than `FRESH_SECONDS` has to be written again. For object stores, only the
        size is checked.
        """
        if self.is_local:
            return self.fault(path, size, content_hash) is None and _touch(path)
        try:
            info = self._info(path)
        except FileNotFoundError:
            return False
        written = written_at(info)
        return bool(info["size"] == size) and (written is None or time.time() - written < FRESH_SECONDS)

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None if it does not exist."""
        try:
            return int(self._info(path)["size"])
        except FileNotFoundError:
            return None

    def files(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files in a folder, without those in folders below it. A missing folder has none.

        Raises:
            OSError: the folder cannot be read.
        """
        try:
            found = self._fs.ls(folder, detail=True)
        except FileNotFoundError:
            return
        for info in found:
            if info["type"] == "file":
                name = str(info["name"]).rpartition("/")[2]
                yield StoredFile(f"{folder}/{name}", name, int(info["size"]), written_at(info))

    def folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders in a folder."""
        try:
            found = self._fs.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        return sorted(str(info["name"]).rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory")

    def remove_older(self, path: str, aside: str, before: float) -> bool:
        """Remove a file unless it was written, or counted as written, at or after a time. Return whether it is gone.

        A local file is first moved aside, and moved back if it is newer after all: a reader that needs it now
        either gives it a new time before, or finds it missing and writes it again. Object stores cannot do that; there
        the time is checked immediately before the removal.

        Args:
            path: the file.
            aside: where a local file is while it is checked, on the same file system.
            before: the time in seconds since 1970 UTC.
        """
        try:
            if not self.is_local:
                written = written_at(self._info(path))
                if written is None or written >= before:
                    return False
                self.discard(path)
                return True
            try:
                Path(path).replace(aside)
            except FileNotFoundError:
                if not Path(path).exists():
                    return False
                self._make_folder_of(aside)
                Path(path).replace(aside)
            if Path(aside).stat().st_mtime >= before:
                self.put_back(aside, path)
                return False
            Path(aside).unlink()
        except FileNotFoundError:
            return False
        return True

    def put_back(self, aside: str, path: str) -> None:
        """Move a file back that was moved aside, unless it was written again meanwhile."""
        if self._fs.exists(path):
            self.discard(aside)
        else:
            self._rename(aside, path)

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
        """Return a value that changes whenever the file changes, or None if there is no reliable one."""
        if not self.is_local:
            tag = info.get("ETag") or info.get("etag") or info.get("generation")
            return (path, info["size"], tag) if tag else None
        status = Path(path).stat()
        if time.time() - max(status.st_mtime, status.st_ctime) < self._settled_seconds:
            return None
        return path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    def _info(self, path: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._fs.info(path))

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


def written_at(info: Mapping[str, Any]) -> float | None:
    """Return when a file was written, in seconds since 1970 UTC, from its fsspec description; None if that has none."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _touch(path: str) -> bool:
    """Give a file the current time. Return False if that is not possible, for example because it is gone."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _digest(chunks: Iterator[bytes]) -> str:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK_BYTES), b"")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
