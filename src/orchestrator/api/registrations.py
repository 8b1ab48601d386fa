"""Registrations: definitions are read in threads of their own, one at a time for each tenant."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_THREADS = 4


class _Place:
    """The place of a tenant: `users` hold it or wait for it."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(1)
        self.users = 0


class Registrations:
    """Threads for what takes long about a registration, so that it takes none of those that other requests need.

    Each tenant has one place, and holds it until its thread has ended: a request that is given up meanwhile, at its
    deadline, does not make room for another. Belongs to one event loop.
    """

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._threads = ThreadPoolExecutor(max_threads, "registration")
        self._places: dict[str, _Place] = {}

    async def run(self, tenant: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns or raise what it raises; called in a thread, when it is the tenant's turn."""
        place = self._places.setdefault(tenant, _Place())
        place.users += 1
        try:
            await place.turn.acquire()
        except BaseException:
            self._leave(tenant, place)
            raise
        loop = asyncio.get_running_loop()

        def over(_ended: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(self._release, tenant, place)

        try:
            under_way = self._threads.submit(partial(copy_context().run, function, *args, **kwargs))
        except BaseException:
            self._release(tenant, place)
            raise
        under_way.add_done_callback(over)
        return await asyncio.wrap_future(under_way)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _release(self, tenant: str, place: _Place) -> None:
        place.turn.release()
        self._leave(tenant, place)

    def _leave(self, tenant: str, place: _Place) -> None:
        place.users -= 1
        if not place.users:
            del self._places[tenant]
