"""An LRU cache that is bounded by the total weight of its entries."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class WeightedCache(Generic[K, V]):
    """Keeps the most recently used entries. Thread-safe.

    Args:
        most: maximum total weight of all entries, usually in bytes. A heavier entry is not kept.
        max_entries: maximum number of entries.
    """

    def __init__(self, most: int, max_entries: int = 100_000) -> None:
        self._max_weight = most
        self._max_entries = max_entries
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()
        self.weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Store a value, and evict the least recently used entries if the cache is full."""
        with self._lock:
            before = self._entries.pop(key, None)
            if before is not None:
                self.weight -= before[1]
            if weight > self._max_weight:
                return
            self._entries[key] = value, weight
            self.weight += weight
            while self.weight > self._max_weight or len(self._entries) > self._max_entries:
                _, (_, freed) = self._entries.popitem(last=False)
                self.weight -= freed
