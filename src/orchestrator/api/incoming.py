"""Tracks request bodies that are still arriving, and aborts slow ones when there are too many."""

from typing import Protocol

MAX_BYTES = 128 << 20
"""Maximum number of bytes of incomplete bodies held in memory."""


class IncomingBody(Protocol):
    """A body that is arriving: its tenant, and the number of bytes received so far."""

    tenant: str
    arrived: int

    def abort(self) -> None:
        """Stop receiving the body, to make room for others."""


class IncomingBodies:
    """The bodies that are arriving. Belongs to one event loop.

    When there are too many, or they hold too much memory, the oldest body of the tenant with the most is aborted.

    Args:
        max_bodies: maximum number of bodies that arrive at the same time.
        max_bytes: maximum number of their bytes held in memory.
    """

    def __init__(self, max_bodies: int, max_bytes: int = MAX_BYTES) -> None:
        self._max_bodies = max_bodies
        self._max_bytes = max_bytes
        self._count = 0
        self._bytes = 0
        self._by_tenant: dict[str, dict[IncomingBody, None]] = {}

    def begin(self, body: IncomingBody) -> None:
        """Add a body that starts to arrive."""
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
        bodies = max(self._by_tenant.values(), key=len)
        oldest = next(iter(bodies))
        self.end(oldest)
        oldest.abort()
