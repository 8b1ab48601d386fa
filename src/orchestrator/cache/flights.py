"""Wait for a result that another run is producing, until it lands or it is time to check again."""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress

from orchestrator.postgres.listener import FLIGHTS, Listener, wake

LOOK_AGAIN_SECONDS = 1.0
"""How long it can take waiters to notice that the run producing their result is gone."""

_MAX_LANDED = 1000


class Flights:
    """The waiters of this process, by cache key."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._landed: OrderedDict[str, None] = OrderedDict()
        listener.on(FLIGHTS, self._on_notification)

    async def wait(self, key: str) -> None:
        """Return when the result of the key has landed, or after `LOOK_AGAIN_SECONDS`."""
        name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        if name in self._landed:  # it landed after the cache said to wait, and before the wait began
            del self._landed[name]
            return
        event = asyncio.Event()
        self._waiters.setdefault(name, set()).add(event)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), LOOK_AGAIN_SECONDS)
        finally:
            if (waiters := self._waiters.get(name)) is not None:
                waiters.discard(event)
                if not waiters:
                    del self._waiters[name]

    def _on_notification(self, payload: str) -> None:
        wake(self._loop, self._land, payload)

    def _land(self, name: str) -> None:
        """Wake the waiters of a key, or all waiters if the name is empty (notifications may have been missed)."""
        for landed in [name] if name else list(self._waiters):
            waiters = self._waiters.pop(landed, None)
            if waiters is None:
                self._landed[landed] = None
                if len(self._landed) > _MAX_LANDED:
                    self._landed.popitem(last=False)
            else:
                for event in waiters:
                    event.set()
