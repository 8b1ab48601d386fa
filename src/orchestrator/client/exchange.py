"""Requests and answers: retries, the key, errors, and reading what was written."""

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
    """What is asked. Every request of ours may be sent again: those that make something carry an idempotency key.

    Attributes:
        path: below `/api/v1`.
        query: parameters; those that are None are left out.
        body: a JSON document; or text, then of the type in `headers`.
        fresh: whether the answer must know of this client's own writes.
        tries: most tries; None leaves it to the client.
    """

    method: str
    path: str
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = True
    tries: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    document: Any


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """An answer that is being read."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes, None]


class Exchange:
    """A server, as seen by one client."""

    def __init__(self, wire: Wire, server: str, *, key: str | None, timeout: float, tries: int) -> None:
        self.wire = wire
        self._url = _address(server)
        self._headers = {"Accept": "application/json", **_authorization(key)}
        self._timeout = timeout
        self._tries = tries
        self._position = 0

    def trials(self, tries: int | None = None) -> Trials:
        """Return the tries of a new call."""
        return Trials(tries or self._tries)

    def saw(self, position: int) -> None:
        """Note that this client knows of a position of the log; it will not be shown less from now on."""
        self._position = max(self._position, position)

    async def ask(self, request: Request) -> Answer:
        """Send a request, again if need be, and return the answer.

        Raises:
            NoAnswer: there was none.
            ApiError: the server refused.
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
        """Send a request once; its answer is read within.

        Args:
            request: what is asked.
            silence: most seconds between two pieces of the answer; the client's timeout when not given.

        Raises:
            NoAnswer: there was none, or it broke off.
            ApiError: the server refused.
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
        said = str(error) or type(error).__name__
        return NoAnswer(f"{self._url} does not answer: {said}")


def part(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")


def _address(server: str) -> str:
    """Return the address of a server as all paths are appended to it.

    Raises:
        ValueError: it is none. What it may hold before an @ is not shown.
    """
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise ValueError("the server is not an address like http://127.0.0.1:8000, without a user, query or fragment")
    return server.rstrip("/").removesuffix(BASE)


def _authorization(key: str | None) -> dict[str, str]:
    """Return the header that shows a key.

    Raises:
        ValueError: it cannot be sent. It is not shown.
    """
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("the key holds characters that no key has")
    return {"Authorization": f"Bearer {key}"}
