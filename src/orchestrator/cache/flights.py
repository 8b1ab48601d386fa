"""Waiting for a result that somebody else is making: woken by its landing, or after a while to look again."""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress

from orchestrator.postgres.listener import FLIGHTS, Listener, wake

LOOK_AGAIN_SECONDS = 1.0
"""How long a dead maker can go unnoticed by those who wait for it."""

_MAX_LANDED = 1000


class Flights:
    """The process's waiters, by cache key."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._landed: OrderedDict[str, None] = OrderedDict()
        listener.on(FLIGHTS, self._hear)

    async def wait(self, key: str) -> None:
        """Return when the key has landed, or when it is time to look again."""
        name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        if name in self._landed:  # after we were told to wait, and before we began to
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

    def _hear(self, payload: str) -> None:
        wake(self._loop, self._land, payload)

    def _land(self, name: str) -> None:
        """Wake who waits for a key; an empty name stands for all: notifications may have been missed."""
        for landed in [name] if name else list(self._waiters):
            waiters = self._waiters.pop(landed, None)
            if waiters is None:
                self._landed[landed] = None
                if len(self._landed) > _MAX_LANDED:
                    self._landed.popitem(last=False)
            else:
                for event in waiters:
                    event.set()
