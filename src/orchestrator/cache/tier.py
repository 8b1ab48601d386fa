"""What a tier in front of the cold one is: quick, forgetful, and never to be believed blindly."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.cache.answers import Entry, Question, TierName


class CacheTier(Protocol):
    """Holds copies of results that every run of a tenant may use.

    A tier may lose anything at any time. It may be slow or away; then it finds nothing. `epoch` counts the
    invalidations of the tenant: what was kept in an earlier epoch is never found again.
    """

    name: TierName

    async def find(self, tenant: str, epoch: int, questions: Sequence[Question]) -> Mapping[str, Entry]:
        """Return what is there, by key, made by the skill asked for: one round trip, however many questions."""

    async def keep(self, tenant: str, epoch: int, entries: Sequence[tuple[Question, Entry]]) -> None:
        """Keep copies of results."""
