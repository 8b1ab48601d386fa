"""The archive: exports of runs in Parquet, in a folder a month below one fsspec url, written once and never changed.

A file is an export like any other (see `projections.transfer`): its last word is the head of a chain over its
events, and its name holds the beginning of that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from orchestrator.artifacts.blobs import CHUNK_BYTES, Blobs
from orchestrator.audit.transfer import parquet
from orchestrator.audit.transfer.end import DamagedExport, ExportEnd
from orchestrator.audit.transfer.export import write_export
from orchestrator.eventstore.recorder import EventRow

_INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file: its name below the root, the SHA-256 of its bytes in hex, and its size."""

    name: str
    sha256: str
    size_bytes: int


class Archive:
    """Files below one url."""

    def __init__(self, url: str) -> None:
        self._blobs = Blobs(url, settled_seconds=float("inf"))

    def write(self, month: str, rows: Sequence[EventRow]) -> ArchiveFile:
        """Write events, in the order of the log, and read them back.

        Raises:
            DamagedExport: what was read back is not what was written.
            ParquetMissing, OSError: it cannot be written.
        """
        buffer = BytesIO()
        tally = write_export(rows, buffer, "parquet")
        name = f"{month}/{rows[0][4]}-{rows[-1][4]}-{tally.link.hex()[:16]}.parquet"
        content = buffer.getbuffer()
        chunks = (bytes(content[start : start + CHUNK_BYTES]) for start in range(0, len(content), CHUNK_BYTES))
        temporary, sha256, size = self._blobs.write(chunks, f"{self._blobs.root}/{_INCOMING}")
        self._blobs.publish(temporary, self._path(name))
        if list(self.read(name)) != list(rows):
            raise DamagedExport(f"{name} does not hold what was written to it")
        return ArchiveFile(name, sha256, size)

    def read(self, name: str) -> Iterator[EventRow]:
        """Yield the events of a file.

        Raises:
            FileNotFoundError: it is not there.
            DamagedExport, ParquetMissing, OSError: it cannot be read.
        """
        with self._blobs.open(self._path(name)) as file:
            for found in parquet.read(file):
                if not isinstance(found, ExportEnd):
                    yield found

    def fault(self, file: ArchiveFile) -> str | None:
        """Return what is wrong with a file's bytes, or None."""
        return self._blobs.fault(self._path(file.name), file.size_bytes, file.sha256)

    def uri(self, name: str) -> str:
        """Return where a file is."""
        return self._blobs.uri(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._blobs.root}/{name}"
