"""Counters of the step cache of a process."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.cache.answers import TierName


@dataclass(slots=True)
class CacheCounts:
    """Counts questions and results since the process started.

    Attributes:
        hits: answers with a result, by the tier that had it.
        misses: answers that told the caller to produce the result.
        waited: answers that another run is producing the result.
        stored: results produced here that every run may use.
        promoted: results copied from a slower tier to a faster one.
        invalidated: invalidations that this process was notified of.
        corrupt: results rejected because they, or their artifacts, differ from what was stored.
    """

    hits: Counter[TierName] = field(default_factory=Counter)
    misses: int = 0
    waited: int = 0
    stored: int = 0
    promoted: int = 0
    invalidated: int = 0
    corrupt: int = 0
