"""Answers in JSON, rendered by orjson."""

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson
from starlette.responses import Response

_LONG_SECONDS = 86_400
_AT_ONCE = 8


class Json(Response):
    """A JSON document. Header names and values must be ASCII."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Not `super().__init__`: it prepares for more than we need, and costs more than the rendering itself.
        self.status_code = status_code
        self.background = None
        self.body = content if isinstance(content, _Rendered) else orjson.dumps(content)
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class _Rendered(bytes):
    """JSON text."""


async def rendered(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text; its lists are rendered in pieces, between which others have their turn.

    A page of a list may have many megabytes, and the loop must not stand still for as long as they take.
    """
    members = []
    for name, value in document.items():
        if isinstance(value, list) and len(value) > _AT_ONCE:
            pieces = []
            for begin in range(0, len(value), _AT_ONCE):
                pieces.append(orjson.dumps(value[begin : begin + _AT_ONCE])[1:-1])
                await asyncio.sleep(0)
            text = b"[%b]" % b",".join(pieces)
        else:
            text = orjson.dumps(value)
        members.append(b"%b:%b" % (orjson.dumps(name), text))
    return _Rendered(b"{%b}" % b",".join(members))


def revalidated(content: Any, if_none_match: str | None, *, forever: bool = False) -> Response:
    """Return a document with a tag made of its bytes, or 304 when the client named that tag.

    Args:
        content: the document.
        if_none_match: the client's If-None-Match header.
        forever: whether the document can never change: the client need not ask again.
    """
    answer = Json(content)
    # Weak, since what is on the wire may be compressed.
    tag = f'W/"{blake2b(answer.body, digest_size=12).hexdigest()}"'
    freshness = f"max-age={_LONG_SECONDS}, immutable" if forever else "no-cache"
    headers = {"ETag": tag, "Cache-Control": f"private, {freshness}", "Vary": "Authorization"}
    if is_match(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    answer.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return answer


def is_match(tags: str | None, tag: str) -> bool:
    """Return whether an If-None-Match header names a tag (weak comparison, RFC 9110, 8.8.3.2) or any."""
    if tags is None:
        return False
    opaque = tag.removeprefix("W/")
    return tags.strip() == "*" or opaque in (one.strip().removeprefix("W/") for one in tags.split(","))
