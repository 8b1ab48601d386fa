"""What the step cache of a process has seen, in numbers that only grow."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.cache.answers import TierName


@dataclass(slots=True)
class CacheCounts:
    """Questions and results, counted since the process began.

    Attributes:
        hits: answers with a result, by the tier that had it.
        misses: answers that let the asker make the result.
        waited: answers that another run was making it.
        stored: results made here that every run may use.
        promoted: results copied from a slower tier to a quicker one.
        invalidated: invalidations heard of.
        corrupt: results refused because they, or their artifacts, are not what was kept.
    """

    hits: Counter[TierName] = field(default_factory=Counter)
    misses: int = 0
    waited: int = 0
    stored: int = 0
    promoted: int = 0
    invalidated: int = 0
    corrupt: int = 0
