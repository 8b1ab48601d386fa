"""Threads for slow work, such as parsing definitions and hashing artifacts, limited per tenant."""

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
"""Number of threads. Because of the GIL, more threads would only delay the event loop."""

MAX_OF_TENANT = 1


class _Slots:
    """The slots of a tenant. `users` is the number of calls that hold a slot or wait for one."""

    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0


class TenantThreads:
    """Threads for one kind of slow work, separate from the threads that other requests need.

    Each tenant has a few slots. A slot is held until the thread has finished, even if the request was abandoned at its
    deadline. Belongs to one event loop.
    """

    def __init__(self, name: str, max_threads: int = MAX_THREADS, max_of_tenant: int = MAX_OF_TENANT) -> None:
        self._threads = ThreadPoolExecutor(max_threads, name)
        self._max_of_tenant = max_of_tenant
        self._slots: dict[str, _Slots] = {}

    async def run(self, tenant: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, as soon as the tenant has a free slot, and return its result."""
        slots = self._slots.setdefault(tenant, _Slots(self._max_of_tenant))
        slots.users += 1
        try:
            await slots.free.acquire()
        except BaseException:
            self._leave(tenant, slots)
            raise
        loop = asyncio.get_running_loop()

        def over(_ended: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop has already ended
                loop.call_soon_threadsafe(self._release, tenant, slots)

        try:
            under_way = self._threads.submit(partial(copy_context().run, function, *args, **kwargs))
        except BaseException:
            self._release(tenant, slots)
            raise
        under_way.add_done_callback(over)
        return await asyncio.wrap_future(under_way)

    def close(self) -> None:
        """Start no more work, and cancel what is waiting."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _release(self, tenant: str, slots: _Slots) -> None:
        slots.free.release()
        self._leave(tenant, slots)

    def _leave(self, tenant: str, slots: _Slots) -> None:
        slots.users -= 1
        if not slots.users:
            del self._slots[tenant]
