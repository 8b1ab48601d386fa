"""Connections: how many a server holds, and which one gives way when there are too many."""

from typing import Protocol


class Connection(Protocol):
    """A connection as this module sees it."""

    def give_way(self) -> None:
        """Be closed at once: another needs the room."""


class Connections:
    """The connections of one server. Belongs to one event loop.

    A connection waits while none of its requests is being answered: its request is on its way, or it is idle. When
    there are too many connections, the one that has waited longest gives way, of the source with the most that wait.
    One that is being answered stays.

    What counts as one source is up to the caller.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self._waiting: dict[str, dict[Connection, None]] = {}

    def opened(self, connection: Connection, source: str) -> bool:
        """Note a new connection, which waits; returns whether there is room for it."""
        self.count += 1
        if self.count > self._most and not self._make_room():
            return False
        self.waits(connection, source)
        return True

    def closed(self, connection: Connection, source: str) -> None:
        """Forget a connection."""
        self.count -= 1
        self.works(connection, source)

    def waits(self, connection: Connection, source: str) -> None:
        """Note that a connection waits from now on."""
        self._waiting.setdefault(source, {})[connection] = None

    def works(self, connection: Connection, source: str) -> None:
        """Note that a request of a connection is being answered."""
        connections = self._waiting.get(source)
        if connections is not None and connection in connections:
            del connections[connection]
            if not connections:
                del self._waiting[source]

    def _make_room(self) -> bool:
        if not self._waiting:
            return False
        crowd = max(self._waiting, key=lambda source: len(self._waiting[source]))
        oldest = next(iter(self._waiting[crowd]))
        self.works(oldest, crowd)
        oldest.give_way()
        return True
