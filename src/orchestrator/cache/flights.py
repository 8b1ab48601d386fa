"""Waiting for a result that somebody else is making: woken by its landing, or after a while to look again."""

import asyncio
import hashlib

from orchestrator.eventstore.listener import FLIGHTS, Listener, wake

LOOK_AGAIN_SECONDS = 1.0
"""How long a dead maker can go unnoticed by those who wait for it."""


class Flights:
    """The process's waiters, by cache key."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: dict[str, asyncio.Event] = {}
        listener.on(FLIGHTS, self._landed)

    async def wait(self, key: str) -> None:
        """Return when the key has landed, or when it is time to look again."""
        name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        event = self._waiters.setdefault(name, asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), LOOK_AGAIN_SECONDS)
        except TimeoutError:
            return
        finally:
            if self._waiters.get(name) is event:
                del self._waiters[name]

    def _landed(self, payload: str) -> None:
        wake(self._loop, self._wake, payload)

    def _wake(self, payload: str) -> None:
        woken = [payload] if payload else list(self._waiters)
        for name in woken:
            if (event := self._waiters.pop(name, None)) is not None:
                event.set()
