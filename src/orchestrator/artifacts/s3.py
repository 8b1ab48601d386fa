"""Files in a bucket of S3, or of a server that speaks its protocol.

An object appears at once and whole, so nothing is renamed: small files are one PUT, large ones a multipart upload that
is completed or aborted. A file is hashed before it is sent, because its name is its hash.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from orchestrator.artifacts.blobs import CHUNK_BYTES, Blobs, StoredFile, written_at
from orchestrator.artifacts.s3_calls import S3Calls

PART_BYTES = 8 << 20
"""The size of a part of an upload, in bytes. A smaller file is sent with one request."""

_PARTS_OF_A_SIZE = 1000  # there are at most 10,000 parts, so later ones are larger: 440 GiB in all
_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/(?P<prefix>[^?#]*))?")
_CREATE_TRIES = 5


class S3Blobs(Blobs):
    """Reads and writes objects below one prefix of a bucket. Paths have the form `bucket/prefix/...`.

    Args:
        url: `s3://bucket` or `s3://bucket/prefix`.

    Raises:
        ValueError: the URL has another form.
    """

    def __init__(self, url: str) -> None:
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("expected s3://bucket or s3://bucket/prefix")
        self.is_local = False
        self.root = f"{found['bucket']}/{(found['prefix'] or '').strip('/')}".rstrip("/")
        self._calls = S3Calls(found["bucket"])
        self._hashes = {}

    def uri(self, path: str) -> str:
        """Return the URL of a path."""
        return f"s3://{path}"

    def put(self, chunks: Iterable[bytes], path: str, incoming: str) -> tuple[str, int]:  # noqa: ARG002
        """Store chunks as an object, whole or not at all; see `Blobs.put`. Holds one part in memory."""
        digest, size = sha256(), 0

        def passing() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        self._upload(self._key(path), passing())
        return digest.hexdigest(), size

    def put_file(self, source: Path, incoming: str, path_of: Callable[[str], str]) -> tuple[str, str, int]:  # noqa: ARG002
        """Store a copy of a local file; see `Blobs.put_file`. The file is read once for its hash and once to send it.

        Raises:
            OSError: also when the file changes meanwhile.
        """
        content_hash, size = _hash_of(source)
        path = path_of(content_hash)
        if not self.holds(path, size, content_hash):
            self._upload(self._key(path), _unchanged(source, content_hash))
        return path, content_hash, size

    def create(self, path: str, content: bytes) -> bool:
        """Create an object with this content. Return False, and change nothing, if it exists; see `Blobs.create`."""
        for left in reversed(range(_CREATE_TRIES)):
            try:
                self._calls.call("put_object", self._key(path), Body=content, IfNoneMatch="*")
            except FileExistsError:
                # Of two calls at the same time one may get a conflict though neither has succeeded: try again.
                if self.size(path) is not None:
                    return False
                if not left:
                    raise
            else:
                return True
        return False

    def discard(self, path: str) -> None:
        """Remove an object, if it exists."""
        with suppress(FileNotFoundError):
            self._calls.call("delete_object", self._key(path))

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading; it is received while it is read.

        Raises:
            FileNotFoundError: the object does not exist.
            StoreUnavailable: see `S3Calls.call`; also from a read.
        """
        return cast("BinaryIO", io.BufferedReader(_Object(self._calls, self._key(path)), CHUNK_BYTES))

    def signed_url(self, path: str, seconds: int, headers: Mapping[str, str]) -> str | None:
        """Return a presigned address; see `Blobs.signed_url`."""
        return self._calls.presigned(
            self._key(path),
            seconds,
            ResponseContentType=headers["Content-Type"],
            ResponseContentDisposition=headers["Content-Disposition"],
        )

    def probe(self) -> None:
        """Raise StoreUnavailable unless the server answers and knows the bucket and the credentials."""
        self._calls.call("head_bucket")

    def files(self, folder: str) -> Iterator[StoredFile]:
        """Yield the objects in a folder, without those in folders below it."""
        for page in self._pages(folder):
            for found in page.get("Contents", ()):
                name = str(found["Key"]).rpartition("/")[2]
                if name:
                    yield StoredFile(f"{folder}/{name}", name, int(found["Size"]), written_at(found))

    def folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders in a folder."""
        pages = self._pages(folder)
        prefixes = (str(found["Prefix"]) for page in pages for found in page.get("CommonPrefixes", ()))
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes)

    def _pages(self, folder: str) -> Iterator[dict[str, Any]]:
        arguments = {"Prefix": f"{self._key(folder)}/".removeprefix("/"), "Delimiter": "/"}
        while True:
            page = self._calls.call("list_objects_v2", **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def _info(self, path: str) -> dict[str, Any]:
        found = self._calls.call("head_object", self._key(path))
        return {
            "type": "file",
            "size": int(found["ContentLength"]),
            "ETag": found.get("ETag"),
            "LastModified": found.get("LastModified"),
        }

    def _key(self, path: str) -> str:
        return path.partition("/")[2]

    def _upload(self, key: str, chunks: Iterable[bytes]) -> None:
        """Send chunks as one object: with one request if they fit in a part, else in parts."""
        parts = _parts(chunks)
        first = next(parts, b"")
        if len(first) < PART_BYTES:
            self._calls.call("put_object", key, Body=first)
            return
        upload = self._calls.call("create_multipart_upload", key)["UploadId"]
        try:
            sent = [self._send(key, upload, 1, first)]
            del first
            sent += [self._send(key, upload, number, part) for number, part in enumerate(parts, 2)]
            self._calls.call("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": sent})
        except BaseException:
            with suppress(OSError):  # the first error tells more; a rule of the bucket removes what stays
                self._calls.call("abort_multipart_upload", key, UploadId=upload)
            raise

    def _send(self, key: str, upload: str, number: int, part: bytes) -> dict[str, Any]:
        answer = self._calls.call("upload_part", key, UploadId=upload, PartNumber=number, Body=part)
        named = {name: answer[name] for name in answer if name.startswith("Checksum") and name != "ChecksumType"}
        return {"PartNumber": number, "ETag": answer["ETag"], **named}


class _Object(io.RawIOBase):
    """An object, received from the position at which it is read. If it changes meanwhile, reads raise OSError."""

    def __init__(self, calls: S3Calls, key: str) -> None:
        super().__init__()
        self._calls = calls
        self._key = key
        self._position = 0
        self._tag: str | None = None
        self._body: Any = None
        self._size = 0
        self._receive()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; what follows is requested at the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        if base + offset != self._position:
            self._position = base + offset
            self._drop()
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # RawIOBase passes a memoryview
        """Read the next bytes."""
        if self._position >= self._size:
            return 0
        if self._body is None:
            self._receive()
        try:
            chunk = self._body.read(len(buffer))
        except (BotoCoreError, HTTPError, OSError) as error:
            self._drop()
            raise self._calls.unreachable(error) from error
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def close(self) -> None:
        """Close the connection too, unless everything was read."""
        if not self.closed:
            self._drop()
        super().close()

    def _receive(self) -> None:
        arguments = {} if self._tag is None else {"Range": f"bytes={self._position}-", "IfMatch": self._tag}
        try:
            answer = self._calls.call("get_object", self._key, **arguments)
        except FileExistsError as error:
            raise OSError(f"object {self._key} changed while it was read") from error
        if self._tag is None:
            self._size = int(answer["ContentLength"])
        self._tag, self._body = answer.get("ETag"), answer["Body"]

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks as parts of an upload; all but the last have at least `PART_BYTES`."""
    part, number = bytearray(), 0
    for chunk in chunks:
        part += chunk
        while len(part) >= (size := PART_BYTES * (1 + number // _PARTS_OF_A_SIZE)):
            yield bytes(part[:size])
            del part[:size]
            number += 1
    if part or not number:
        yield bytes(part)


def _hash_of(source: Path) -> tuple[str, int]:
    digest, size = sha256(), 0
    for chunk in _read(source):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _unchanged(source: Path, content_hash: str) -> Iterator[bytes]:
    """Yield the content of a file. At the end, raise OSError if it does not have the hash, so it is not stored."""
    digest = sha256()
    for chunk in _read(source):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != content_hash:
        raise OSError(f"{source} changed while it was stored")


def _read(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK_BYTES), b"")
