"""The archive: Parquet exports of runs, in one folder per month below an fsspec URL, written once and never changed.

A file is a normal export (see `audit.transfer`): its end record holds the chain head of its events, and its name
contains the first 16 digits of that head.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain

from orchestrator.artifacts.blobs import CHUNK_BYTES
from orchestrator.artifacts.opened import open_blobs
from orchestrator.audit.transfer import parquet
from orchestrator.audit.transfer.end import DamagedExport, ExportEnd
from orchestrator.audit.transfer.export import write_export
from orchestrator.eventstore.recorder import EventRow

_INCOMING = "incoming"
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """An archive file: its name below the root, the SHA-256 of its bytes in hex, and its size in bytes."""

    name: str
    sha256: str
    size_bytes: int


class Archive:
    """Writes and reads archive files below one URL."""

    def __init__(self, url: str) -> None:
        self._blobs = open_blobs(url, settled_seconds=float("inf"))

    def write(self, month: str, rows: Sequence[EventRow]) -> ArchiveFile:
        """Write events to a file, read them back, and return the file. The events must be in log order.

        Raises:
            DamagedExport: the file does not contain the events that were written.
            ParquetMissing, OSError: the file cannot be written.
        """
        buffer = BytesIO()
        tally = write_export(rows, buffer, "parquet")
        name = f"{month}/{rows[0][4]}-{rows[-1][4]}-{tally.link.hex()[:16]}.parquet"
        content = buffer.getbuffer()
        chunks = (bytes(content[start : start + CHUNK_BYTES]) for start in range(0, len(content), CHUNK_BYTES))
        sha256, size = self._blobs.put(chunks, self._path(name), f"{self._blobs.root}/{_INCOMING}")
        if list(self.read(name)) != list(rows):
            raise DamagedExport(f"{name} does not contain the events that were written to it")
        return ArchiveFile(name, sha256, size)

    def write_logs(self, name: str, lines: Iterator[bytes]) -> str | None:
        """Write the step logs of the runs in a file beside it, and return the name; None if there are no lines.

        It is a gzip file of JSON lines, named like the file with `.logs.jsonl.gz` as the suffix.

        Raises:
            OSError: the file cannot be written, or the logs cannot be read.
        """
        first = next(lines, None)
        if first is None:
            return None
        beside = name.removesuffix(".parquet") + ".logs.jsonl.gz"
        content = _compressed(chain([first], lines))
        self._blobs.put(content, self._path(beside), f"{self._blobs.root}/{_INCOMING}")
        return beside

    def read(self, name: str) -> Iterator[EventRow]:
        """Yield the events of a file.

        Raises:
            FileNotFoundError: the file does not exist.
            DamagedExport, ParquetMissing, OSError: the file cannot be read.
        """
        with self._blobs.open(self._path(name)) as file:
            for found in parquet.read(file):
                if not isinstance(found, ExportEnd):
                    yield found

    def fault(self, file: ArchiveFile) -> str | None:
        """Return what is wrong with a file's bytes, or None."""
        return self._blobs.fault(self._path(file.name), file.size_bytes, file.sha256)

    def uri(self, name: str) -> str:
        """Return the URL of a file."""
        return self._blobs.uri(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._blobs.root}/{name}"


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces as one gzip file, without a timestamp, so that equal content is an equal file."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()
