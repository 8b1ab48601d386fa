"""The sweeper: removes content of one tenant from the artifact store that nothing names any more.

    <root>/<tenant>/sha256/ab/cdef...   content: removed if it is not named and was written before a given time
    <root>/<tenant>/incoming/...        being written: never touched
    <root>/<tenant>/leaving/...         moved aside for a moment while it is checked; put back after a crash

Content that a step stores again counts as written at that moment (see `Blobs.holds`), so the time alone decides whether
an executing attempt may still need it.
"""

import re
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from orchestrator.artifacts.blobs import StoredFile
from orchestrator.artifacts.names import tenant_folder
from orchestrator.artifacts.store import ArtifactStore

_FIRST = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")
_WHOLE = re.compile(r"[0-9a-f]{64}")

OnObjects = Callable[[int], None]
"""Called with the number of objects looked at so far."""


class UndatedContent(Exception):
    """The store does not say when its content was written, so nothing can be removed safely."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of a sweep, in objects: removed (with their bytes), kept because named, and left because too new."""

    removed: int = 0
    removed_bytes: int = 0
    named: int = 0
    too_new: int = 0


class Sweeper:
    """Removes content of one tenant. Synchronous."""

    def __init__(self, store: ArtifactStore, tenant: str) -> None:
        self._blobs = store.blobs
        self._folder = f"{store.blobs.root}/{tenant_folder(tenant)}"

    def sweep(
        self,
        named: AbstractSet[bytes],
        before: float,
        *,
        dry_run: bool = False,
        on_objects: OnObjects = lambda _: None,
    ) -> Sweep:
        """Remove all content that is not named and was written before a time.

        Args:
            named: the SHA-256 of all content to keep, as 32 bytes.
            before: the time in seconds since 1970 UTC.
            dry_run: change nothing, and return what would be removed.
            on_objects: called with the progress.

        Raises:
            UndatedContent: the store does not say when an object was written.
            OSError: the store cannot be read or changed. What was removed before stays removed.
        """
        if not dry_run:
            self._put_back()
        removed = removed_bytes = kept = too_new = 0
        for first in self._blobs.folders(f"{self._folder}/sha256"):
            if not _FIRST.fullmatch(first):
                continue
            for file in self._blobs.files(f"{self._folder}/sha256/{first}"):
                if not _REST.fullmatch(file.name):
                    continue
                if bytes.fromhex(first + file.name) in named:
                    kept += 1
                elif not _is_older(file, before) or not (dry_run or self._remove(file.path, first + file.name, before)):
                    too_new += 1
                else:
                    removed += 1
                    removed_bytes += file.size_bytes
            on_objects(removed + kept + too_new)
        return Sweep(removed, removed_bytes, kept, too_new)

    def remove(self, hashes: Iterable[str], before: float) -> Sweep:
        """Remove content by its hashes (SHA-256 in hex) unless it was written at or after a time. See `sweep`."""
        removed = removed_bytes = too_new = 0
        for content_hash in sorted(set(hashes)):
            path = self._path(content_hash)
            size = self._blobs.size(path)
            if size is None:
                continue
            if self._remove(path, content_hash, before):
                removed += 1
                removed_bytes += size
            else:
                too_new += 1
        return Sweep(removed, removed_bytes, 0, too_new)

    def _remove(self, path: str, content_hash: str, before: float) -> bool:
        return self._blobs.remove_older(path, f"{self._folder}/leaving/{content_hash}", before)

    def _put_back(self) -> None:
        """Put back what an interrupted sweep had moved aside: it may have been about to be needed."""
        for file in self._blobs.files(f"{self._folder}/leaving"):
            if _WHOLE.fullmatch(file.name):
                self._blobs.put_back(file.path, self._path(file.name))

    def _path(self, content_hash: str) -> str:
        return f"{self._folder}/sha256/{content_hash[:2]}/{content_hash[2:]}"


def _is_older(file: StoredFile, before: float) -> bool:
    if file.written_at is None:
        raise UndatedContent(f"the artifact store does not say when {file.path} was written")
    return file.written_at < before
