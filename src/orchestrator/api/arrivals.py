"""Arrivals: the bodies that are on their way in. Slow ones give way to others; they never keep anybody out."""

from typing import Protocol

MAX_BYTES = 128 << 20
"""How much of unfinished bodies is held in memory."""


class Arrival(Protocol):
    """A body on its way in."""

    tenant: str
    arrived: int

    def give_way(self) -> None:
        """Be given up: others need the room."""


class Arrivals:
    """Knows the bodies that are arriving. Belongs to one event loop.

    When there are too many, or they hold too much memory, the oldest one of the tenant with the most gives way.

    Args:
        most: how many may arrive at once.
        max_bytes: how many bytes of them may be held.
    """

    def __init__(self, most: int, max_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._count = 0
        self._bytes = 0
        self._by_tenant: dict[str, dict[Arrival, None]] = {}

    def begin(self, arrival: Arrival) -> None:
        """Note a body that begins to arrive."""
        if self._count >= self._most:
            self._make_room()
        self._by_tenant.setdefault(arrival.tenant, {})[arrival] = None
        self._count += 1

    def grow(self, arrival: Arrival, size: int) -> None:
        """Note that more of a body is there."""
        arrival.arrived += size
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._make_room()

    def end(self, arrival: Arrival) -> None:
        """Forget a body: it is whole, or given up."""
        arrivals = self._by_tenant.get(arrival.tenant)
        if arrivals is None or arrival not in arrivals:
            return
        del arrivals[arrival]
        self._count -= 1
        self._bytes -= arrival.arrived
        if not arrivals:
            del self._by_tenant[arrival.tenant]

    def _make_room(self) -> None:
        crowd = max(self._by_tenant.values(), key=len)
        oldest = next(iter(crowd))
        self.end(oldest)
        oldest.give_way()
