"""Memory and open descriptors of the processes over time, and whether they stay flat."""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.soak.processes import Member

_EVERY_SECONDS = 5.0
_WARM = (0.25, 0.40)
"""The part of the time that counts as warmed up: every fault was met at least once, the caches are full."""

_END = (0.85, 1.0)
_MAX_MEMORY_MIB, _MAX_MEMORY_SHARE = 16.0, 0.12
_MAX_DESCRIPTORS = 12
"""Connections of a pool come and go; one that is lost at each fault would show."""

_SHOWN = 12
_MIN_SAMPLES = 40


@dataclass(frozen=True)
class Sample:
    """What one process had at one time."""

    at: float
    pid: int
    memory: float
    descriptors: int


@dataclass
class Growth:
    """Samples of the members, and what they come to."""

    members: Sequence[Member]
    series: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.take()
            await asyncio.sleep(_EVERY_SECONDS)

    def take(self) -> None:
        for member in self.members:
            if (found := member.figures()) is not None:
                self.series[member.name].append(Sample(time.monotonic(), member.pid, *found))

    def report(self) -> list[str]:
        """Return a line for each member and number: how it went."""
        lines = []
        for name, samples in self.series.items():
            chosen = samples[:: max(1, len(samples) // _SHOWN)]
            lines.append(f"{name:12} MiB {' '.join(f'{one.memory:.0f}' for one in chosen)}")
            lines.append(f"{name:12} fds {' '.join(str(one.descriptors) for one in chosen)}")
        return lines

    def faults(self, elders: Sequence[Member]) -> list[str]:
        """Return which of the processes that lived all the time have grown."""
        found = []
        for elder in elders:
            samples = self.series[elder.name]
            if len({one.pid for one in samples}) != 1:
                found.append(f"{elder.name} did not live through the soak")
                continue
            found += grown(elder.name, samples)
        return found


def grown(name: str, samples: Sequence[Sample]) -> list[str]:
    """Compare a process after warming up with the end; nothing to say while there are too few samples for that."""
    if len(samples) < _MIN_SAMPLES:
        return []
    warm, end = (_between(samples, *part) for part in (_WARM, _END))
    found = []
    before, after = (statistics.median(one.memory for one in part) for part in (warm, end))
    if after - before > max(_MAX_MEMORY_MIB, _MAX_MEMORY_SHARE * before):
        found.append(f"{name} grew from {before:.0f} to {after:.0f} MiB")
    opened, left = (statistics.median(one.descriptors for one in part) for part in (warm, end))
    if left - opened > _MAX_DESCRIPTORS:
        found.append(f"{name} had {opened:g} descriptors open, and in the end {left:g}")
    return found


def _between(samples: Sequence[Sample], first: float, last: float) -> Sequence[Sample]:
    return samples[int(first * len(samples)) : int(last * len(samples))]
