"""A network that fails as networks do: connections that end early, answers that are lost, a proxy with its own mind."""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

Trouble = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Relay:
    """Passes connections on to a port. The next ones meet the troubles in `next`, one each."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self.next: deque[Trouble] = deque()
        self.requests: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trouble = self.next.popleft() if self.next else self.cut(None)
        try:
            await trouble(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """End the connection at once."""

    def say(self, answer: bytes) -> Trouble:
        """Answer in the server's place."""

        async def trouble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.requests.append(await _request(reader))
            writer.write(answer)
            await writer.drain()

        return trouble

    def cut(self, after: int | None) -> Trouble:
        """Pass on one request and so many bytes of what comes back (None: all); 0 loses an answer that was given."""

        async def trouble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            left = after
            if request := await _request(reader):
                self.requests.append(request)
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
                far_writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                try:
                    while (chunk := await far_reader.read(65536)) and left != 0:
                        writer.write(chunk if left is None else chunk[:left])
                        await writer.drain()
                        left = None if left is None else max(0, left - len(chunk))
                finally:
                    far_writer.close()

        return trouble


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes of the next request, empty when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    found = _LENGTH.search(head)
    return head + (await reader.readexactly(int(found[1])) if found else b"")
