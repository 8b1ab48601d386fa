"""The memory tier: the most recently used results, up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from orchestrator.cache.answers import Entry, Question, TierName
from orchestrator.cache.encoding import decode, encode

_OVERHEAD_BYTES = 500
"""The estimated overhead of an entry, in bytes."""


class MemoryTier:
    """An LRU map of at most `max_bytes`."""

    name: TierName = "memory"

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[str, int, str], bytes] = OrderedDict()

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return the stored results; see `CacheTier.find`."""
        found = {}
        for question in questions:
            place = (tenant, epoch, question.key)
            body = self._entries.get(place)
            if body is not None and (entry := decode(body)).skill == question.skill:
                self._entries.move_to_end(place)
                found[question.key] = entry
        return found

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Store results; see `CacheTier.keep`."""
        for question, entry in entries:
            place = (tenant, epoch, question.key)
            if (before := self._entries.pop(place, None)) is not None:
                self._bytes -= len(before) + _OVERHEAD_BYTES
            body = encode(entry)
            self._entries[place] = body
            self._bytes += len(body) + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= len(oldest) + _OVERHEAD_BYTES
