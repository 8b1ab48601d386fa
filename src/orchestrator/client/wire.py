"""The blocking and the asyncio transport: all that differs between the two clients.

Everything else is written once, as coroutines. On the blocking wire a coroutine never suspends: one step runs it to
completion (see `finish`), so it needs no event loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")


class Wire(Protocol):
    """A transport: sends requests and sleeps."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Return the response without reading its body; raises httpx.RequestError."""

    def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Yield the body of a response as it arrives; raises httpx.RequestError."""

    async def release(self, response: httpx.Response) -> None:
        """Return the connection of a response to the pool."""

    async def pause(self, seconds: float) -> None:
        """Sleep."""

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call a blocking function, such as a file write, without blocking the event loop."""

    async def close(self) -> None:
        """Close every connection."""


class BlockingWire:
    """Blocks the calling thread."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `Wire.send`."""
        return self._http.send(request, stream=True)

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Read a response body; see `Wire.chunks`."""
        for chunk in response.iter_bytes():
            yield chunk

    async def release(self, response: httpx.Response) -> None:
        """Release a connection; see `Wire.release`."""
        response.close()

    async def pause(self, seconds: float) -> None:
        """Sleep; see `Wire.pause`."""
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this wire is for

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function; see `Wire.apart`."""
        return function(*args)

    async def close(self) -> None:
        """Close all connections; see `Wire.close`."""
        self._http.close()


class AwaitingWire:
    """Awaits on the event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `Wire.send`."""
        return await self._http.send(request, stream=True)

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Read a response body; see `Wire.chunks`."""
        async for chunk in response.aiter_bytes():
            yield chunk

    async def release(self, response: httpx.Response) -> None:
        """Release a connection; see `Wire.release`."""
        await response.aclose()

    async def pause(self, seconds: float) -> None:
        """Sleep; see `Wire.pause`."""
        await asyncio.sleep(seconds)

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function; see `Wire.apart`."""
        return await asyncio.to_thread(function, *args)

    async def close(self) -> None:
        """Close all connections; see `Wire.close`."""
        await self._http.aclose()


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, such as any on the blocking wire, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine on the blocking wire waited for an event loop")
