"""HTTP/1.1 with bounds: uvicorn's protocol has none of its own for heads, pipelines and slow readers.

head        64 KiB and 200 headers, else 431; 10 s, else 408
body        has its bounds in `api/guard.py`; here: chunk extensions and trailers, and what nobody reads any more
pipeline    64 requests that wait for the answers before them
answer      a client that reads nothing for a minute is cut off
connection  there are only so many; see `connections.py`
"""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestrator.access.failed_attempts import source_of
from orchestrator.api.errors import HeadTooLarge, HeadTooSlow, MalformedRequest, Overloaded, answer_to
from orchestrator.application.errors import RequestError
from orchestrator.cli.serving.connections import Connections

_SEPARATORS = 4
"""Bytes of a header besides its name and its value."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    HEAD_BYTES: ClassVar = 64 << 10
    HEADERS: ClassVar = 200
    HEAD_SECONDS: ClassVar = 10.0
    """From the beginning of a connection, or from a request's first byte, to the end of its headers."""

    FRAMING_BYTES: ClassVar = 64 << 10
    """For chunk sizes, chunk extensions and trailers, besides eight bytes for each byte of the body."""

    UNREAD_BYTES: ClassVar = 2 << 20
    """How much of a body is still received after the answer, so that the client gets to read the answer."""

    PIPELINED: ClassVar = 64
    STALLED_SECONDS: ClassVar = 60.0
    PROGRESS_BYTES: ClassVar = 4096

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._all = connections
        self._source = ""
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._refusal: RequestError | None = None
        self._in_message = False
        self._in_head = False
        self._begun = False
        self._size = 0
        self._head_size = 0
        self._content = 0

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._source = source_of(self.client[0] if self.client else None)
        if not self._all.opened(self, self._source):
            self._refuse(Overloaded("the server has too many connections; try again in a moment"))
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer: nobody is there."""
        self._stop_waiting()
        self.resume_writing()
        self._all.closed(self, self._source)
        self.pipeline.clear()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Be closed at once: another connection needs the room."""
        self.transport.abort()

    # Requests

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see that they are not too many."""
        if self.transport.is_closing():
            return
        if self._timer is None and not self._in_message and self._is_idle:
            self._wait()  # whatever it is, it has to become a request
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._begun:
            self._begun = False  # what came with the beginning is not counted
        else:
            self._size += len(data)
        if self._in_head:
            if self._size > self.HEAD_BYTES:
                self._refuse(self._head_too_large())
        elif self._in_message:
            if self.cycle.response_complete:
                if self._size > self.UNREAD_BYTES:
                    self.transport.close()
            elif self._size - self._content > self.FRAMING_BYTES + 8 * self._content:
                self._refuse(MalformedRequest("the chunks of the body have too much besides their content"))

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._count_anew()
        self._head_size = 0
        self._wait()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target in."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header in; trailers, which come after the body, are nobody's business."""
        if self._in_head:
            self._count_head(len(name) + len(value) + _SEPARATORS)
            if len(self.headers) >= self.HEADERS:
                self._refusal = self._head_too_large()
                raise ValueError("too many headers")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on: the head is there."""
        self._stop_waiting()
        self._in_head = False
        self._content = 0
        self._count_anew()
        if len(self.pipeline) >= self.PIPELINED:
            self.transport.abort()
            return
        if not self.url.startswith(b"/"):
            self._read_absolute_target()
        self._all.works(self, self._source)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body in."""
        self._content += len(body)
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._in_message = False
        if self.cycle is not None:
            super().on_message_complete()
            if self.cycle.response_complete:
                self._stop_waiting()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        super().on_response_complete()
        if self.transport.is_closing() or not self.cycle.response_complete:
            return
        self._all.waits(self, self._source)
        if self._in_message:  # the rest of a body that nobody is going to read
            self._count_anew()
            self._wait()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is no HTTP, or too much of it."""
        self._refuse(self._refusal or MalformedRequest(msg))

    def _count_anew(self) -> None:
        self._size = 0
        self._begun = True

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self.HEAD_BYTES:
            self._refusal = self._head_too_large()
            raise ValueError("the head is too large")

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the head of a request may have {self.HEAD_BYTES:,} bytes and {self.HEADERS} headers",
            limit=self.HEAD_BYTES,
        )

    def _read_absolute_target(self) -> None:
        """Take the host from a target like `http://host/path`: it counts, and the Host header does not (RFC 9112)."""
        target = httptools.parse_url(self.url)
        if target.host is not None:
            host = b"[%b]" % target.host if b":" in target.host else target.host
            port = b":%d" % target.port if target.port else b""
            self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers.append((b"host", host + port))
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error and close the connection; in the middle of an answer only close it."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self.pipeline or self._in_head:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_raw(error))
        self.transport.close()

    # Time

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._in_message and not self._in_head:
            self.transport.close()  # the request was answered; this is the rest of its body
        else:
            self._refuse(HeadTooSlow("the head of the request did not arrive in time"))

    def pause_writing(self) -> None:
        """Begin to watch a client that does not read as quickly as we write."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.STALLED_SECONDS, self._check_progress)

    def resume_writing(self) -> None:
        """Watch it no longer: it has read."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _check_progress(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._unsent - unsent < self.PROGRESS_BYTES:
            self.transport.abort()
            return
        self._unsent = unsent
        self._stalled = self.loop.call_later(self.STALLED_SECONDS, self._check_progress)


def bounded(connections: Connections) -> "type[asyncio.Protocol]":
    """Return what makes the protocol of each connection of a server."""
    make: Callable[..., BoundedProtocol] = partial(BoundedProtocol, connections)
    return cast("type[asyncio.Protocol]", make)


def _raw(error: RequestError) -> bytes:
    """Return an error as the bytes of an answer after which the connection is closed."""
    answer = answer_to(error)
    if answer is None:
        raise error
    status = HTTPStatus(answer.status_code)
    lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode())]
    lines += [b"%b: %b" % (name, value) for name, value in answer.raw_headers if name != b"connection"]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)])
