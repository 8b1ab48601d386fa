"""Bodies of requests: read whole, and parsed to nothing that would harm further in."""

from collections.abc import Iterable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from orchestrator.api.errors import UnsupportedMediaType
from orchestrator.application.errors import InvalidRequest
from orchestrator.documents.places import place
from orchestrator.domain.errors import Fault, InputNotCanonical
from orchestrator.domain.exact import check_keys, check_numbers

MAX_DEPTH = 64
"""How deep a JSON document may nest; the document itself is level 1."""

_BODY = "body"


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        ClientDisconnect: the client went away first.
        BodyTooLarge: it has too many bytes (raised by the guard).
    """
    chunks = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def media_type(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters; empty when it names none.

    Raises:
        UnsupportedMediaType: it names more than one, or the body is compressed.
    """
    encoding = next((value for name, value in request.scope["headers"] if name == b"content-encoding"), b"identity")
    if encoding.strip().lower() != b"identity":
        shown = encoding.decode("latin-1")[:40]
        raise UnsupportedMediaType(f"Content-Encoding: {shown} is not supported; send the body as it is")
    given = [value for name, value in request.scope["headers"] if name == b"content-type"]
    if len(given) > 1:
        raise UnsupportedMediaType("expected one Content-Type header, not several")
    return given[0].partition(b";")[0].strip().lower().decode("latin-1") if given else ""


def require_json(request: Request) -> None:
    """Accept a body whose Content-Type says that it is JSON.

    Raises:
        UnsupportedMediaType: it says something else, or nothing: browsers let any page send such a body.
    """
    given = media_type(request)
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise wrong_media_type("application/json", given)


def wrong_media_type(expected: str, given: str) -> UnsupportedMediaType:
    """Return the error for a body of another media type than expected; `given` is empty when it has none."""
    found = f"not {given}" if given else "but the request has no Content-Type"
    return UnsupportedMediaType(f"expected Content-Type: {expected}, {found}")


def parse_json(body: bytes) -> Any:
    """Return the document that a JSON text (UTF-8) holds.

    Raises:
        InvalidRequest: it breaks the syntax, nests deeper than `MAX_DEPTH` levels, gives a key twice, or holds a number
            that would become another one, a NUL character or a lone surrogate.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest([Fault(_BODY, f"is not JSON: {error}")]) from error
    # Counting brackets and looking for escapes is quick; only where they show up is a closer look worth it.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_deep(document)
    if b"\\u0000" in body:
        _refuse_nul(document)
    try:
        check_keys(body, document)
    except InputNotCanonical as error:
        raise InvalidRequest([Fault(_place(error), str(error.details["reason"]))]) from error
    try:
        check_numbers(body)
    except InputNotCanonical as error:
        raise InvalidRequest([Fault(_place(error), f"{error.details['reason']}; send it as text")]) from error
    return document


def _place(error: InputNotCanonical) -> str:
    return str(error.details["path"]).removeprefix("$").removeprefix(".") or _BODY


def _refuse_nul(document: Any) -> None:
    """Accept a document without a NUL character in its keys and values: the database cannot keep one."""
    found = _find_nul(document)
    if found is not None:
        raise InvalidRequest([Fault(place(found) if found else _BODY, "holds a NUL character")])


def _find_nul(value: Any) -> tuple[str | int, ...] | None:
    """Return where a NUL character is, or None."""
    if isinstance(value, str):
        return () if "\0" in value else None
    if isinstance(value, dict):
        if any("\0" in key for key in value):
            return ()
        items: Iterable[tuple[str | int, Any]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return None
    for key, item in items:
        if (found := _find_nul(item)) is not None:
            return (key, *found)
    return None


def _refuse_deep(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise InvalidRequest([Fault(_BODY, f"is nested more than {MAX_DEPTH} levels deep")])
