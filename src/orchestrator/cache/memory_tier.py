"""The tier in the process: the results used last, up to a number of entries."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from orchestrator.cache.answers import Entry, Question, TierName


class MemoryTier:
    """A least-recently-used map of at most `most_entries`; data in it is bounded by what the log holds inline."""

    name: TierName = "memory"

    def __init__(self, most_entries: int = 10_000) -> None:
        self._most_entries = most_entries
        self._entries: OrderedDict[tuple[str, int, str], Entry] = OrderedDict()

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return what is there; see `CacheTier.find`."""
        found = {}
        for question in questions:
            place = (tenant, epoch, question.key)
            entry = self._entries.get(place)
            if entry is not None and entry.skill == question.skill:
                self._entries.move_to_end(place)
                found[question.key] = entry
        return found

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Keep results; see `CacheTier.keep`."""
        for question, entry in entries:
            self._entries[tenant, epoch, question.key] = entry
            self._entries.move_to_end((tenant, epoch, question.key))
        while len(self._entries) > self._most_entries:
            self._entries.popitem(last=False)
