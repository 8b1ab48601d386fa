"""A minimal HTTP client with keep-alive connections, so that it uses little CPU."""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def get(self, path: str) -> Any:
        """GET a path and return the JSON."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def post(self, path: str, document: Any) -> Any:
        """POST JSON to a path and return the JSON."""
        body = orjson.dumps(document)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
        return await self._ask(head.encode() + body)

    async def _ask(self, request: bytes) -> Any:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{head.splitlines()[0]!r}: {body[:500]!r}")
        return orjson.loads(body)
