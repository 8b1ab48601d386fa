"""The connections of a server: their limit, and which one to close when it is exceeded."""

from typing import Protocol


class Connection(Protocol):
    """The interface of a connection that this module needs."""

    def give_way(self) -> None:
        """Close immediately to make room for another connection."""


class Connections:
    """The connections of one server. Belongs to one event loop.

    A connection is waiting while none of its requests is being answered: it is idle, or its request has not arrived
    completely. If there are too many connections, the source with the most waiting connections loses the one that has
    waited longest. A connection whose request is being answered is never closed.

    The caller defines what a source is.

    Args:
        most: the maximum number of connections.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self._waiting: dict[str, dict[Connection, None]] = {}

    def opened(self, connection: Connection, source: str) -> bool:
        """Add a new, waiting connection. Return whether there is room for it."""
        self.count += 1
        if self.count > self._most and not self._make_room():
            return False
        self.waits(connection, source)
        return True

    def closed(self, connection: Connection, source: str) -> None:
        """Remove a connection."""
        self.count -= 1
        self.works(connection, source)

    def waits(self, connection: Connection, source: str) -> None:
        """Mark a connection as waiting."""
        self._waiting.setdefault(source, {})[connection] = None

    def works(self, connection: Connection, source: str) -> None:
        """Mark a connection as busy: a request is being answered."""
        connections = self._waiting.get(source)
        if connections is not None and connection in connections:
            del connections[connection]
            if not connections:
                del self._waiting[source]

    def _make_room(self) -> bool:
        if not self._waiting:
            return False
        source = max(self._waiting, key=lambda each: len(self._waiting[each]))
        oldest = next(iter(self._waiting[source]))
        self.works(oldest, source)
        oldest.give_way()
        return True
