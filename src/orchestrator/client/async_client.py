"""The asyncio client. `blocking_client.py` has the same calls for programs without an event loop."""

from typing import Self

import httpx

from orchestrator.client.calls import Calls
from orchestrator.client.wire import AwaitingWire

DEFAULT_SERVER = "http://127.0.0.1:8000"


class AsyncClient(Calls):
    """Client for asyncio programs. It keeps connections open, so use it as an async context manager.

    A call is retried after a connection failure and after the statuses 429, 502, 503 and 504. The delay grows with
    each try and is never shorter than `Retry-After`. A read always sees the writes that this client made before.

    Args:
        server: URL of the server.
        key: an API key or a token, if the server requires authentication.
        timeout: connect timeout and read timeout of one try, in seconds.
        tries: maximum number of tries of a call.

    Raises:
        ValueError: the URL or the key is malformed.
    """

    def __init__(
        self, server: str = DEFAULT_SERVER, *, key: str | None = None, timeout: float = 30.0, tries: int = 6
    ) -> None:
        super().__init__(AwaitingWire(httpx.AsyncClient()), server, key=key, timeout=timeout, tries=tries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
