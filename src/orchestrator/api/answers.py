"""JSON responses, rendered by orjson."""

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson
from starlette.responses import Response

_DAY_SECONDS = 86_400
_CHUNK_ITEMS = 8


class Json(Response):
    """A JSON document. Header names and values must be ASCII."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Not `super().__init__`: it supports more than we need, and takes longer than the rendering itself.
        self.status_code = status_code
        self.background = None
        self.body = content if isinstance(content, _Rendered) else orjson.dumps(content)
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class _Rendered(bytes):
    """Rendered JSON text."""


async def rendered(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text. Long lists are rendered in chunks, and other tasks run between them.

    A page of a list may have many megabytes; rendering it in one go would block the event loop.
    """
    members = []
    for name, value in document.items():
        if isinstance(value, list) and len(value) > _CHUNK_ITEMS:
            pieces = []
            for begin in range(0, len(value), _CHUNK_ITEMS):
                pieces.append(orjson.dumps(value[begin : begin + _CHUNK_ITEMS])[1:-1])
                await asyncio.sleep(0)
            text = b"[%b]" % b",".join(pieces)
        else:
            text = orjson.dumps(value)
        members.append(b"%b:%b" % (orjson.dumps(name), text))
    return _Rendered(b"{%b}" % b",".join(members))


def revalidated(content: Any, if_none_match: str | None, *, forever: bool = False) -> Response:
    """Return a response with a document and its ETag, or 304 if the client already has that document.

    Args:
        content: the document.
        if_none_match: the client's If-None-Match header.
        forever: whether the document never changes, so that the client may cache it without revalidation.
    """
    answer = Json(content)
    # A weak ETag, because the body may be sent compressed.
    tag = f'W/"{blake2b(answer.body, digest_size=12).hexdigest()}"'
    freshness = f"max-age={_DAY_SECONDS}, immutable" if forever else "no-cache"
    headers = {"ETag": tag, "Cache-Control": f"private, {freshness}", "Vary": "Authorization, Cookie"}
    if is_match(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    answer.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return answer


def is_match(tags: str | None, tag: str) -> bool:
    """Return whether an If-None-Match header matches a tag (weak comparison, RFC 9110, 8.8.3.2) or is `*`."""
    if tags is None:
        return False
    opaque = tag.removeprefix("W/")
    return tags.strip() == "*" or opaque in (one.strip().removeprefix("W/") for one in tags.split(","))
