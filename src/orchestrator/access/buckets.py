"""Token buckets: how often somebody may ask. Kept as one number each, the time at which the bucket is full again.

That is the Generic Cell Rate Algorithm (ITU-T I.371): a request moves the time on by 1 / rate, and is refused when it
would lie further ahead than the bucket is deep. Nothing has to be filled up by a clock.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_MOST_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket by name: `rate` requests a second in the long run, up to `depth` at once."""

    name: str
    rate: float
    depth: float

    @property
    def interval(self) -> float:
        """Seconds that one request stands for."""
        return 1 / self.rate

    @property
    def tolerance(self) -> float:
        """How many seconds ahead of now the bucket's time may lie for a request to be served."""
        return (max(1.0, self.depth) - 1) / self.rate


class Buckets(Protocol):
    """Takes requests out of buckets."""

    async def take(self, buckets: Sequence[Bucket]) -> tuple[float, str]:
        """Take one request out of all of the buckets, or out of none.

        Returns:
            0 and nothing when it was taken; else the seconds until there is one in each, and the name of the
            bucket that lacks it longest.
        """


class MemoryBuckets:
    """Buckets of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, buckets: Sequence[Bucket]) -> tuple[float, str]:
        """Take one request out of all of the buckets, or out of none; see `Buckets.take`."""
        now = self._clock()
        times = [max(now, self._full_at.get(bucket.name, now)) for bucket in buckets]
        waits = [at - now - bucket.tolerance for at, bucket in zip(times, buckets, strict=True)]
        longest = max(waits, default=0.0)
        if longest > 1e-9:
            return longest, buckets[waits.index(longest)].name
        for at, bucket in zip(times, buckets, strict=True):
            self._full_at[bucket.name] = at + bucket.interval
            self._full_at.move_to_end(bucket.name)
        while len(self._full_at) > _MOST_KEPT:
            self._full_at.popitem(last=False)
        return 0.0, ""
