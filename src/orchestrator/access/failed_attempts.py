"""Counts failed authentication attempts per source address, and blocks a source after too many of them."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
FORGET_SECONDS = 600.0
"""The count of a source is reset after this many seconds without a failure."""

_MAX_SOURCES = 10_000
_IPV6_NETWORK = 64


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    blocked_until: float = 0.0


class FailedAttempts:
    """Failed attempts seen by this process. The first pause follows failure number `free`.

    Each further failure doubles the pause, up to a minute.
    """

    def __init__(self, free: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        self._sources: OrderedDict[str, _Failures] = OrderedDict()

    def __bool__(self) -> bool:
        """Return whether any failure is recorded."""
        return bool(self._sources)

    def pause(self, source: str) -> float:
        """Return for how many more seconds a source is blocked; 0 if it is not."""
        failures = self._sources.get(source)
        return 0.0 if failures is None else max(0.0, failures.blocked_until - self._clock())

    def failed(self, source: str) -> None:
        """Record a failed attempt of a source."""
        now = self._clock()
        failures = self._sources.get(source)
        if failures is None or now - failures.last > FORGET_SECONDS:
            failures = self._sources[source] = _Failures()
        failures.count += 1
        failures.last = now
        if failures.count >= self._free:
            doubled = min(failures.count - self._free, 16)
            failures.blocked_until = now + min(FIRST_PAUSE_SECONDS * 2**doubled, LONGEST_PAUSE_SECONDS)
        self._sources.move_to_end(source)
        if len(self._sources) > _MAX_SOURCES:
            self._sources.popitem(last=False)


def source_of(host: str | None) -> str:
    """Return the source of an address: the IPv4 address itself, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)
