"""Sends requests and reads responses: authentication, retries, errors, and read-your-writes consistency."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from orchestrator.client.bodies import encoded
from orchestrator.client.errors import ClientError, NoAnswer, error_of
from orchestrator.client.trials import Trials
from orchestrator.client.wire import Wire

BASE = "/api/v1"
_POSITION = "X-Log-Position"
_DIGITS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Every request can be retried safely, because those that create a run carry an idempotency key.

    Attributes:
        method: the HTTP method.
        path: the path below `/api/v1`.
        query: query parameters; those that are None are omitted.
        body: a JSON document, or text whose media type is in `headers`.
        headers: additional headers.
        fresh: whether the response must reflect this client's earlier writes.
        tries: maximum number of tries; None uses the client's setting.
    """

    method: str
    path: str
    query: Mapping[str, str | int | list[str] | None] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = True
    tries: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body was read completely."""

    status: int
    document: Any


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """A response whose body is still being read."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]


class Exchange:
    """The connection of one client to its server."""

    def __init__(self, wire: Wire, server: str, *, key: str | None, timeout: float, tries: int) -> None:
        self.wire = wire
        self._url = _address(server)
        self._headers = {"Accept": "application/json", **_authorization(key)}
        self._timeout = timeout
        self._tries = tries
        self._position = 0

    def trials(self, tries: int | None = None) -> Trials:
        """Return the retry state of a new call."""
        return Trials(tries or self._tries)

    def saw(self, position: int) -> None:
        """Record a log position that this client has seen. Later reads reflect at least this position."""
        self._position = max(self._position, position)

    async def ask(self, request: Request) -> Answer:
        """Send a request, retry it if necessary, and return the response.

        Raises:
            NoAnswer: the server did not respond.
            ApiError: the server returned an error.
        """
        trials = self.trials(request.tries)
        while True:
            try:
                async with self.opened(request) as answer:
                    body = b"".join([chunk async for chunk in answer.chunks])
                    return Answer(answer.status, json.loads(body) if body else None)
            except ClientError as error:
                await self.wire.pause(trials.pause_after(error))

    @asynccontextmanager
    async def opened(self, request: Request, silence: float | None = None) -> AsyncIterator[OpenAnswer]:
        """Send a request once and yield the response, which must be read inside the `async with` block.

        Args:
            request: the request.
            silence: read timeout in seconds, between two chunks of the response. By default, the client's timeout.

        Raises:
            NoAnswer: the server did not respond, or the connection broke.
            ApiError: the server returned an error.
        """
        try:
            response = await self.wire.send(self._build(request, silence))
        except httpx.RequestError as error:
            raise self._lost(error) from error
        try:
            async with aclosing(self._chunks(response)) as chunks:
                if response.status_code >= 400:
                    body = b"".join([chunk async for chunk in chunks])
                    raise error_of(response.status_code, response.headers, body)
                if _DIGITS.fullmatch(position := response.headers.get(_POSITION, "")):
                    self.saw(int(position))
                yield OpenAnswer(response.status_code, response.headers, chunks)
        finally:
            await self.wire.release(response)

    @asynccontextmanager
    async def opened_elsewhere(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[OpenAnswer]:
        """Send a GET request to an address that the server named, without the key, and yield the response.

        Raises:
            NoAnswer: the address does not answer, or not with content. The message omits what the address permits.
        """
        timeout = httpx.Timeout(self._timeout).as_dict()
        place = httpx.URL(url).host
        try:
            response = await self.wire.send(httpx.Request("GET", url, headers=headers, extensions={"timeout": timeout}))
        except httpx.RequestError as error:
            raise NoAnswer(f"cannot download from {place}: {type(error).__name__}") from error
        try:
            if response.status_code not in (200, 206):
                raise NoAnswer(f"cannot download from {place}: status {response.status_code}")
            async with aclosing(self._chunks(response)) as chunks:
                yield OpenAnswer(response.status_code, response.headers, chunks)
        finally:
            await self.wire.release(response)

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.wire.chunks(response)) as chunks:
            try:
                async for chunk in chunks:
                    yield chunk
            except httpx.RequestError as error:
                raise self._lost(error) from error

    def _build(self, request: Request, silence: float | None) -> httpx.Request:
        headers = {**self._headers, **request.headers}
        if request.fresh and self._position:
            headers["X-Min-Position"] = str(self._position)
        content = None
        if isinstance(request.body, str):
            content = request.body.encode()
        elif request.body is not None:
            content = encoded(request.body)
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(self._timeout, read=silence or self._timeout)
        return httpx.Request(
            request.method,
            f"{self._url}{BASE}{request.path}",
            params={name: value for name, value in request.query.items() if value is not None},
            headers=headers,
            content=content,
            extensions={"timeout": timeout.as_dict()},
        )

    def _lost(self, error: httpx.RequestError) -> NoAnswer:
        reason = str(error) or type(error).__name__
        return NoAnswer(f"cannot reach {self._url}: {reason}")


def part(name: str) -> str:
    """Return a name percent-encoded as one path segment."""
    return quote(name, safe="")


def _address(server: str) -> str:
    """Return the base URL of a server, without a trailing `/` or `/api/v1`.

    Raises:
        ValueError: the URL is invalid. The message omits it, because it may contain a password.
    """
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise ValueError("invalid server URL: expected one like http://127.0.0.1:8000, without user, query or fragment")
    return server.rstrip("/").removesuffix(BASE)


def _authorization(key: str | None) -> dict[str, str]:
    """Return the Authorization header for a key.

    Raises:
        ValueError: the key cannot be sent in a header. The message omits it, because it is a secret.
    """
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("invalid key: it must be printable ASCII without spaces, and not empty")
    return {"Authorization": f"Bearer {key}"}
