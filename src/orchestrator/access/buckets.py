"""Token buckets: how often somebody may ask. Kept as one number each, the time at which the bucket is full again.

That is the Generic Cell Rate Algorithm (ITU-T I.371): a request moves the time on by 1 / rate, and is refused when it
would lie further ahead than the bucket is deep. Nothing has to be filled up by a clock.

A request may count as several. One that counts as more than the bucket holds is served when the bucket is full. It
leaves a debt: those that follow wait until it is paid, so the rate holds in the long run.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_MAX_KEPT = 100_000


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

    def tolerance_of(self, count: int) -> float:
        """The same for a request that counts as `count`."""
        return max(0.0, self.tolerance - (count - 1) * self.interval)


class Buckets(Protocol):
    """Takes requests out of buckets."""

    async def take(self, buckets: Sequence[Bucket], count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Take a request out of all of the buckets, or out of none.

        Args:
            buckets: the buckets.
            count: as how many requests it counts.
            taken: how many of them were taken before it was known how many there are; they stay taken.

        Returns:
            0 and nothing when it was taken; else the seconds until the same request, made again, is taken, and the
            name of the bucket that it has to wait for longest.
        """


class MemoryBuckets:
    """Buckets of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, buckets: Sequence[Bucket], count: int = 1, *, taken: int = 0) -> tuple[float, str]:
        """Take a request out of all of the buckets, or out of none; see `Buckets.take`."""
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
