"""Request bodies that are still arriving. Slow ones are aborted when others need the room."""

from typing import Protocol

MAX_BYTES = 128 << 20
"""Bytes of unfinished bodies held in memory."""


class IncomingBody(Protocol):
    """A body that is arriving: whose it is, and how many bytes are here."""

    tenant: str
    arrived: int

    def abort(self) -> None:
        """Stop receiving: others need the room."""


class IncomingBodies:
    """The bodies that are arriving. Belongs to one event loop.

    When there are too many, or they hold too much memory, the oldest body of the tenant with the most is aborted.

    Args:
        max_bodies: how many may arrive at once.
        max_bytes: how many bytes of them are held in memory.
    """

    def __init__(self, max_bodies: int, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._count = 0
        self._bytes = 0
        self._by_tenant: dict[str, dict[IncomingBody, None]] = {}

    def begin(self, body: IncomingBody) -> None:
        """Add a body whose first part arrives."""
        if self._count >= self._max_bodies:
            self._make_room()
        self._by_tenant.setdefault(body.tenant, {})[body] = None
        self._count += 1

    def grow(self, body: IncomingBody, size: int) -> None:
        """Add `size` bytes to a body."""
        body.arrived += size
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._make_room()

    def end(self, body: IncomingBody) -> None:
        """Remove a body: it is complete or aborted."""
        bodies = self._by_tenant.get(body.tenant)
        if bodies is None or body not in bodies:
            return
        del bodies[body]
        self._count -= 1
        self._bytes -= body.arrived
        if not bodies:
            del self._by_tenant[body.tenant]

    def _make_room(self) -> None:
        crowd = max(self._by_tenant.values(), key=len)
        oldest = next(iter(crowd))
        self.end(oldest)
        oldest.abort()
