"""Token buckets for rate limits. Each is stored as one number: the time at which the bucket is full again.

This is the Generic Cell Rate Algorithm (ITU-T I.371). A request moves the time forward by 1 / rate, and is refused if
the time would then be further ahead than the depth of the bucket allows. No timer has to refill the buckets.

A request may count as several. If it counts as more than the bucket holds, it is served when the bucket is full, and
leaves a debt: later requests wait until the debt is paid, so the average rate holds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_MAX_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """A named bucket: on average `rate` requests per second, in bursts of up to `depth` requests."""

    name: str
    rate: float
    depth: float

    @property
    def interval(self) -> float:
        """Seconds between requests at the allowed rate."""
        return 1 / self.rate

    @property
    def tolerance(self) -> float:
        """Seconds that the bucket's time may be ahead of now for a request to be served."""
        return (max(1.0, self.depth) - 1) / self.rate

    def tolerance_of(self, count: int) -> float:
        """Return the tolerance for a request that counts as `count` requests."""
        return max(0.0, self.tolerance - (count - 1) * self.interval)


class Buckets(Protocol):
    """A store of buckets that counts requests."""

    async def take(self, buckets: Sequence[Bucket], count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Count a request in all of the buckets, or in none of them if one is exhausted.

        Args:
            buckets: the buckets.
            count: the number of requests that it counts as.
            taken: how many of them were already counted, before the total was known. They stay counted.

        Returns:
            0 and an empty name if the request was counted. Otherwise, the seconds to wait before the next try, and
            the name of the bucket with the longest wait.
        """


class MemoryBuckets:
    """Buckets in the memory of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, buckets: Sequence[Bucket], count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Count a request in all of the buckets, or in none; see `Buckets.take`."""
        now = self._clock()
        times = [max(now, self._full_at.get(bucket.name, now)) for bucket in buckets]
        waits = [at - now - bucket.tolerance_of(count) for at, bucket in zip(times, buckets, strict=True)]
        lacks = [wait - taken * bucket.interval for wait, bucket in zip(waits, buckets, strict=True)]
        if max(lacks, default=0.0) > 1e-9:
            longest = max(wait for wait, lack in zip(waits, lacks, strict=True) if lack > 1e-9)
            return longest, buckets[waits.index(longest)].name
        for at, bucket in zip(times, buckets, strict=True):
            self._full_at[bucket.name] = at + (count - taken) * bucket.interval
            self._full_at.move_to_end(bucket.name)
        while len(self._full_at) > _MAX_KEPT:
            self._full_at.popitem(last=False)
        return 0.0, ""
