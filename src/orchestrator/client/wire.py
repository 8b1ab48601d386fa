"""The two ways to wait, and all that differs between the clients.

Everything else is written once, as coroutines. On the blocking wire they never suspend: there a coroutine is a
function that runs to its end when it is stepped once (see `finish`), and needs no event loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")


class Wire(Protocol):
    """Sends requests, and waits."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, its body not yet read; raises httpx.RequestError."""

    def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Yield the body of an answer as it comes; raises httpx.RequestError."""

    async def release(self, response: httpx.Response) -> None:
        """Give the connection of an answer back."""

    async def pause(self, seconds: float) -> None:
        """Wait."""

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call what blocks, a write to a file, where it keeps nobody waiting."""

    async def close(self) -> None:
        """Close every connection."""


class BlockingWire:
    """Waits in the calling thread."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send; see `Wire.send`."""
        return self._http.send(request, stream=True)

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Read; see `Wire.chunks`."""
        for chunk in response.iter_bytes():
            yield chunk

    async def release(self, response: httpx.Response) -> None:
        """Release; see `Wire.release`."""
        response.close()

    async def pause(self, seconds: float) -> None:
        """Sleep; see `Wire.pause`."""
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this wire is for

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call; see `Wire.apart`."""
        return function(*args)

    async def close(self) -> None:
        """Close; see `Wire.close`."""
        self._http.close()


class AwaitingWire:
    """Waits on the event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send; see `Wire.send`."""
        return await self._http.send(request, stream=True)

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Read; see `Wire.chunks`."""
        async for chunk in response.aiter_bytes():
            yield chunk

    async def release(self, response: httpx.Response) -> None:
        """Release; see `Wire.release`."""
        await response.aclose()

    async def pause(self, seconds: float) -> None:
        """Sleep; see `Wire.pause`."""
        await asyncio.sleep(seconds)

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call; see `Wire.apart`."""
        return await asyncio.to_thread(function, *args)

    async def close(self) -> None:
        """Close; see `Wire.close`."""
        await self._http.aclose()


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, as all are on the blocking wire, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine on the blocking wire waited for an event loop")
