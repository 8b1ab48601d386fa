"""The attempts that an adapter has submitted and that have not ended, and the outcomes that nobody has read yet."""

import asyncio
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

from orchestrator.clusters.contract import ClusterUnavailable, Ended, Work


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Where the record of an attempt is: its tenant and the hash of its fence."""

    tenant: str
    fence_hash: str


class InFlight:
    """Attempts by name, and their outcomes. Used on one event loop."""

    def __init__(self) -> None:
        self._keys: dict[str, RecordKey] = {}
        self._ended: asyncio.Queue[tuple[str, Ended] | ClusterUnavailable] = asyncio.Queue()

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def place(self, name: str) -> RecordKey | None:
        """Return where the record of an attempt is, or None if it is not in flight."""
        return self._keys.get(name)

    def add(self, work: Work, fence_hash: str) -> None:
        """Remember an attempt that is about to be submitted."""
        self._keys[work.name] = RecordKey(work.call.tenant, fence_hash)

    def forget(self, name: str) -> None:
        """Forget an attempt that was not submitted."""
        self._keys.pop(name, None)

    def end(self, name: str, ended: Ended) -> None:
        """Note that an attempt ended, once."""
        if self._keys.pop(name, None) is not None:
            self._ended.put_nowait((name, ended))

    def lose(self, why: ClusterUnavailable) -> None:
        """Have `outcomes` raise this error."""
        self._ended.put_nowait(why)

    def end_others(self, known: Container[str], reason: str) -> None:
        """End the attempts that the engine does not know any more."""
        for name in [name for name in self._keys if name not in known]:
            self.end(name, Ended(reason))

    async def outcomes(self) -> AsyncIterator[tuple[str, Ended]]:
        """Yield attempts that ended.

        Raises:
            ClusterUnavailable: the engine was lost. Call this again to go on.
        """
        while True:
            found = await self._ended.get()
            if isinstance(found, ClusterUnavailable):
                raise found
            yield found
