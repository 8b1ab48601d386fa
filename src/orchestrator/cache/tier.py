"""The interface of the tiers in front of the cold tier: fast, lossy, and always verified."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.cache.answers import Entry, Question, TierName


class CacheTier(Protocol):
    """Stores copies of results that every run of a tenant may use.

    A tier may lose entries at any time. If it is slow or unavailable, it finds nothing. `epoch` counts the tenant's
    invalidations: entries stored in an earlier epoch are never found again.
    """

    name: TierName

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return the stored results of the requested skills, by key, in one round trip for all questions."""

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Store copies of results."""
