"""The records of attempts in the artifact store: what the remote side and the owner of a run tell each other.

    <root>/<tenant>/outcomes/<name>/<fence hash>           what became of the attempt: written once, never changed
    <root>/<tenant>/outcomes/<name>/<fence hash>.started   the attempt began to execute, so nobody else may execute it
    <root>/<tenant>/outcomes/<name>/stop, .../kill         the owner wants the attempt to stop

Each of these files is written with one put that fails if the file exists.
"""

import re
from uuid import uuid4

from orchestrator.artifacts.blobs import Blobs
from orchestrator.artifacts.names import tenant_folder
from orchestrator.clusters.contract import Record
from orchestrator.clusters.forms import MAX_RECORD_BYTES, InvalidForm, record_from_bytes, record_to_bytes
from orchestrator.domain.output import StepError
from orchestrator.skills.errors import SKILL_OUTPUT_INVALID

_NAME = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")


class StoreUnsuitable(Exception):
    """The artifact store cannot hold the records of attempts. The message says why and what to do."""


class Records:
    """Reads and writes the records of attempts. Synchronous; safe to use from several threads and processes.

    Names and fence hashes have the form that `attempt_name` and `fence_hash` return; anything else is refused with
    InvalidForm. Every method raises OSError if the store cannot be used.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def check(self) -> None:
        """Check that of two puts of the same file the second fails, as remote executors need it.

        Raises:
            StoreUnsuitable: the second put did not fail, or other machines cannot see the store.
        """
        if self._blobs.uri(self._blobs.root).startswith("memory:"):
            raise StoreUnsuitable("A memory:// artifact store cannot be used with executors; set a folder or s3://")
        path = f"{self._blobs.root}/checks/{uuid4().hex}"
        try:
            refused = self._blobs.create(path, b"1") and not self._blobs.create(path, b"2")
        except (RuntimeError, TypeError, ValueError) as error:
            raise StoreUnsuitable(f"The artifact store cannot create a file only if it is absent: {error}") from error
        finally:
            self._blobs.discard(path)
        if not refused:
            raise StoreUnsuitable(
                "The artifact store replaced a file that it was told to create; remote executors need a store that "
                "refuses this, such as a shared folder or S3"
            )

    def read(self, tenant: str, name: str, fence_hash: str) -> Record | None:
        """Return the record of an attempt, or None if there is none.

        Raises:
            InvalidForm: the record cannot be read.
        """
        try:
            with self._blobs.open(self._path(tenant, name, fence_hash)) as file:
                text = file.read(MAX_RECORD_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(text) > MAX_RECORD_BYTES:
            raise InvalidForm(f"the record of attempt {name} is larger than {MAX_RECORD_BYTES} bytes")
        return record_from_bytes(text)

    def write(self, tenant: str, name: str, fence_hash: str, record: Record) -> Record:
        """Write the record of an attempt unless there is one, and return the record that counts: the first."""
        text = record_to_bytes(record)
        if len(text) > MAX_RECORD_BYTES:
            message = f"the output has {len(text)} bytes as JSON, more than {MAX_RECORD_BYTES}"
            error = StepError(SKILL_OUTPUT_INVALID, message, retryable=False)
            return self.write(tenant, name, fence_hash, Record(error, record.duration_ms))
        if self._blobs.create(self._path(tenant, name, fence_hash), text):
            return record
        first = self.read(tenant, name, fence_hash)
        return record if first is None else first

    def begin(self, tenant: str, name: str, fence_hash: str, place: str) -> bool:
        """Note that an attempt begins to execute; return False if it has begun before, here or elsewhere."""
        return self._blobs.create(f"{self._path(tenant, name, fence_hash)}.started", place.encode())

    def ask(self, tenant: str, name: str, *, kill: bool) -> None:
        """Ask an attempt to stop, or have it killed."""
        self._blobs.create(f"{self._folder(tenant, name)}/{'kill' if kill else 'stop'}", b"1")

    def asked(self, tenant: str, name: str) -> str | None:
        """Return `stop` or `kill` if the owner wants an attempt to stop, else None."""
        found = {file.name for file in self._blobs.files(self._folder(tenant, name))}
        return "kill" if "kill" in found else "stop" if "stop" in found else None

    def _path(self, tenant: str, name: str, fence_hash: str) -> str:
        if not _HASH.fullmatch(fence_hash):
            raise InvalidForm(f"the hash of a fence has 64 hexadecimal digits, not {fence_hash[:80]!r}")
        return f"{self._folder(tenant, name)}/{fence_hash}"

    def _folder(self, tenant: str, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise InvalidForm(f"the name of an attempt has 32 hexadecimal digits, not {name[:80]!r}")
        return f"{self._blobs.root}/{tenant_folder(tenant)}/outcomes/{name}"
