"""Threads for what takes long, few at a time for each tenant: reading definitions, hashing artifacts."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_THREADS = 2
"""How many there are. Python runs one at a time, so more would only make the event loop wait longer for its turn."""

MAX_OF_TENANT = 1


class _Places:
    """The places of a tenant: `users` hold one or wait for one."""

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0


class TenantThreads:
    """Threads for one kind of work that takes long, so that it takes none of those that other requests need.

    Each tenant has a few places, and holds each until its thread has ended: a request that is given up meanwhile, at
    its deadline, does not make room for another. Belongs to one event loop.
    """

    def __init__(self, name: str, max_threads: int = MAX_THREADS, max_of_tenant: int = MAX_OF_TENANT) -> None:
        self._threads = ThreadPoolExecutor(max_threads, name)
        self._max_of_tenant = max_of_tenant
        self._places: dict[str, _Places] = {}

    async def run(self, tenant: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns or raise what it raises; called in a thread, when the tenant has a place."""
        places = self._places.setdefault(tenant, _Places(self._max_of_tenant))
        places.users += 1
        try:
            await places.free.acquire()
        except BaseException:
            self._leave(tenant, places)
            raise
        loop = asyncio.get_running_loop()

        def over(_ended: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(self._release, tenant, places)

        try:
            under_way = self._threads.submit(partial(copy_context().run, function, *args, **kwargs))
        except BaseException:
            self._release(tenant, places)
            raise
        under_way.add_done_callback(over)
        return await asyncio.wrap_future(under_way)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _release(self, tenant: str, places: _Places) -> None:
        places.free.release()
        self._leave(tenant, places)

    def _leave(self, tenant: str, places: _Places) -> None:
        places.users -= 1
        if not places.users:
            del self._places[tenant]
