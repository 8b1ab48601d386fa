"""HTTP/1.1 with limits: uvicorn's protocol has none for headers, pipelines and slow readers.

head            64 KiB and 200 headers, else 431; 10 s, else 408 (the head is the request line and the headers)
body            limited in `api/guard.py`; here only chunk extensions, trailers, and the unread rest of a body
pipeline        64 requests that wait for earlier responses
response        a client that reads almost nothing for a minute is disconnected
connections     a maximum number; see `connections.py`
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
"""Bytes of a header line besides its name and value: the colon, the space and the line end."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection with limits."""

    HEAD_BYTES: ClassVar = 64 << 10
    HEADERS: ClassVar = 200
    HEAD_SECONDS: ClassVar = 10.0
    """Header timeout, from the start of a connection or a request's first byte to the end of its headers."""

    FRAMING_BYTES: ClassVar = 64 << 10
    """Limit of chunk sizes, chunk extensions and trailers, plus eight bytes for each byte of the body."""

    UNREAD_BYTES: ClassVar = 2 << 20
    """How much of a body is still received after the response, so that the client can read the response."""

    PIPELINED: ClassVar = 64
    STALLED_SECONDS: ClassVar = 60.0
    PROGRESS_BYTES: ClassVar = 4096

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._source = ""
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._refusal: RequestError | None = None
        self._in_message = False
        self._in_head = False
        self._starting = False
        self._size = 0
        self._head_size = 0
        self._content = 0

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection and start the header timeout."""
        super().connection_made(transport)
        self._source = source_of(self.client[0] if self.client else None)
        if not self._connections.opened(self, self._source):
            self._refuse(Overloaded("the server has too many connections; try again in a moment"))
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers and remove the connection."""
        self._stop_timer()
        self.resume_writing()
        self._connections.closed(self, self._source)
        self.pipeline.clear()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close immediately to make room for another connection."""
        self.transport.abort()

    # Requests

    def data_received(self, data: bytes) -> None:
        """Parse received bytes and enforce the size limits."""
        if self.transport.is_closing():
            return
        if self._timer is None and not self._in_message and self._is_idle:
            self._start_timer()  # the bytes must become a request in time
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._starting:
            self._starting = False  # the bytes received with the start are not counted
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
                self._refuse(MalformedRequest("the chunk framing of the body is too large"))

    def on_message_begin(self) -> None:
        """Start the timeout for the rest of the head."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._reset_size()
        self._head_size = 0
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        """Count and parse a part of the request target."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count and parse a header. Trailers, which follow the body, are ignored."""
        if self._in_head:
            self._count_head(len(name) + len(value) + _SEPARATORS)
            if len(self.headers) >= self.HEADERS:
                self._refusal = self._head_too_large()
                raise ValueError("too many headers")
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the header timeout and pass the request on."""
        self._stop_timer()
        self._in_head = False
        self._content = 0
        self._reset_size()
        if len(self.pipeline) >= self.PIPELINED:
            self.transport.abort()
            return
        if not self.url.startswith(b"/"):
            self._read_absolute_target()
        self._connections.works(self, self._source)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count and pass on a part of the body."""
        self._content += len(body)
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the request is complete."""
        self._in_message = False
        if self.cycle is not None:
            super().on_message_complete()
            if self.cycle.response_complete:
                self._stop_timer()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def on_response_complete(self) -> None:
        """Continue with the next request, or wait for one."""
        super().on_response_complete()
        if self.transport.is_closing() or not self.cycle.response_complete:
            return
        self._connections.waits(self, self._source)
        if self._in_message:  # the rest of a body that nothing will read
            self._reset_size()
            self._start_timer()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not valid HTTP or exceeds a limit."""
        self._refuse(self._refusal or MalformedRequest(msg))

    def _reset_size(self) -> None:
        self._size = 0
        self._starting = True

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self.HEAD_BYTES:
            self._refusal = self._head_too_large()
            raise ValueError("the request line and headers are too large")

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the request line and headers are limited to {self.HEAD_BYTES:,} bytes and {self.HEADERS} headers",
            limit=self.HEAD_BYTES,
        )

    def _read_absolute_target(self) -> None:
        """Take the host from a target like `http://host/path`: it overrides the Host header (RFC 9112)."""
        target = httptools.parse_url(self.url)
        if target.host is not None:
            host = b"[%b]" % target.host if b":" in target.host else target.host
            port = b":%d" % target.port if target.port else b""
            self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers.append((b"host", host + port))
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    def _refuse(self, error: RequestError) -> None:
        """Respond with an error and close the connection. In the middle of a response, only close it."""
        self._stop_timer()
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

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.HEAD_SECONDS, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._in_message and not self._in_head:
            self.transport.close()  # already answered: the rest of its body
        else:
            self._refuse(HeadTooSlow("the headers of the request did not arrive in time"))

    def pause_writing(self) -> None:
        """Start to monitor a client that reads more slowly than the server writes."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.STALLED_SECONDS, self._check_progress)

    def resume_writing(self) -> None:
        """Stop monitoring: the client has read."""
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
    """Return the protocol factory for a server's connections."""
    make: Callable[..., BoundedProtocol] = partial(BoundedProtocol, connections)
    return cast("type[asyncio.Protocol]", make)


def _raw(error: RequestError) -> bytes:
    """Return an error as the bytes of a response that closes the connection."""
    answer = answer_to(error)
    if answer is None:
        raise error
    status = HTTPStatus(answer.status_code)
    lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode())]
    lines += [b"%b: %b" % (name, value) for name, value in answer.raw_headers if name != b"connection"]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)])
