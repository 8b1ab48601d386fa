"""Failed attempts: counted for each source; who fails often is not listened to for a while."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
FORGET_SECONDS = 600.0
"""A source that did not fail for this long begins again."""

_MAX_SOURCES = 10_000
_IPV6_NETWORK = 64


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    heard_from: float = 0.0


class FailedAttempts:
    """Counts in this process. `free` failures cost nothing; each one more doubles the pause, up to a minute."""

    def __init__(self, free: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        self._sources: OrderedDict[str, _Failures] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether anybody failed lately."""
        return bool(self._sources)

    def pause(self, source: str) -> float:
        """Return for how many seconds a source is not listened to; 0 when it is."""
        failures = self._sources.get(source)
        return 0.0 if failures is None else max(0.0, failures.heard_from - self._clock())

    def failed(self, source: str) -> None:
        """Note a failure of a source."""
        now = self._clock()
        failures = self._sources.get(source)
        if failures is None or now - failures.last > FORGET_SECONDS:
            failures = self._sources[source] = _Failures()
        failures.count += 1
        failures.last = now
        if failures.count >= self._free:
            doubled = min(failures.count - self._free, 16)
            failures.heard_from = now + min(FIRST_PAUSE_SECONDS * 2**doubled, LONGEST_PAUSE_SECONDS)
        self._sources.move_to_end(source)
        if len(self._sources) > _MAX_SOURCES:
            self._sources.popitem(last=False)


def source_of(host: str | None) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 network that one IPv6 host has to itself."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)
