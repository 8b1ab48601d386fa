"""Compresses large JSON and text responses for clients that accept gzip (RFC 9110, 12.5.3).

Streams and artifacts are not compressed.
"""

import asyncio
import gzip

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_BYTES = 2048
"""Minimum size to compress. A smaller response fits into one or two packets anyway."""

_THREAD_BYTES = 64 * 1024
_LEVEL = 5
_KINDS = (b"application/json", b"text/plain")
_VARY = (b"vary", b"Accept-Encoding")


class Compression:
    """Middleware. It compresses only responses that are sent in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def answer(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _should_compress(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                headers = [*start["headers"], _VARY]
                if _accepts_gzip(scope) and not message.get("more_body", False):
                    body = await _compressed(message["body"])
                    headers = [pair for pair in headers if pair[0] != b"content-length"]
                    headers += [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
                    message = {**message, "body": body}
                await send({**start, "headers": headers})
            await send(message)

        await self._app(scope, receive, answer)


def _should_compress(start: Message) -> bool:
    headers: dict[bytes, bytes] = dict(start["headers"])
    length = headers.get(b"content-length", b"")
    return length.isdigit() and int(length) >= SMALLEST_BYTES and headers.get(b"content-type", b"").startswith(_KINDS)


def _accepts_gzip(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            for coding in value.decode("latin-1").lower().split(","):
                word, _, weight = coding.partition(";")
                if word.strip() in ("gzip", "*") and weight.replace(" ", "").rstrip("0.") not in ("q=", "q"):
                    return True
    return False


async def _compressed(body: bytes) -> bytes:
    if len(body) > _THREAD_BYTES:
        return await asyncio.to_thread(gzip.compress, body, _LEVEL)
    return gzip.compress(body, _LEVEL)
