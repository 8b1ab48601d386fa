"""The calls for programs on an event loop. `blocking_client.py` has the same ones for all others."""

from typing import Self

import httpx

from orchestrator.client.calls import Calls
from orchestrator.client.wire import AwaitingWire

DEFAULT_SERVER = "http://127.0.0.1:8000"


class AsyncClient(Calls):
    """A server's API, for programs on an event loop. It keeps connections open: use it as a context manager.

    What fails in passing is tried again: no answer, 429, 502, 503 and 504, with growing pauses that are at least
    what `Retry-After` says. Reads know of this client's own writes.

    Args:
        server: its address.
        key: an API key or a token, when the server asks for one.
        timeout: seconds that one try may take to connect, and that may pass without a byte.
        tries: most tries of a call.

    Raises:
        ValueError: the address or the key cannot be one.
    """

    def __init__(
        self, server: str = DEFAULT_SERVER, *, key: str | None = None, timeout: float = 30.0, tries: int = 6
    ) -> None:
        super().__init__(AwaitingWire(httpx.AsyncClient()), server, key=key, timeout=timeout, tries=tries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
