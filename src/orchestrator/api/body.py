"""Reads and parses request bodies, and rejects JSON that the rest of the system cannot handle."""

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
"""Maximum nesting depth of a JSON document; the document itself is level 1."""

_BODY = "body"


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        ClientDisconnect: the client disconnected before the body was complete.
        BodyTooLarge: the body is too large (raised by the guard).
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
    """Return the media type of a request body, in lower case and without parameters; empty if none is given.

    Raises:
        UnsupportedMediaType: there is more than one Content-Type, or the body is compressed.
    """
    encoding = next((value for name, value in request.scope["headers"] if name == b"content-encoding"), b"identity")
    if encoding.strip().lower() != b"identity":
        shown = encoding.decode("latin-1")[:40]
        raise UnsupportedMediaType(f"Content-Encoding: {shown} is not supported; send the body uncompressed")
    given = [value for name, value in request.scope["headers"] if name == b"content-type"]
    if len(given) > 1:
        raise UnsupportedMediaType("expected one Content-Type header, not several")
    return given[0].partition(b";")[0].strip().lower().decode("latin-1") if given else ""


def require_json(request: Request) -> None:
    """Check that the Content-Type of a request is JSON.

    Raises:
        UnsupportedMediaType: it is something else, or missing. Browsers let any page send such requests.
    """
    given = media_type(request)
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise wrong_media_type("application/json", given)


def wrong_media_type(expected: str, given: str) -> UnsupportedMediaType:
    """Return the error for an unexpected media type; `given` is empty if the request has no Content-Type."""
    found = f"not {given}" if given else "but the request has no Content-Type"
    return UnsupportedMediaType(f"expected Content-Type: {expected}, {found}")


def parse_json(body: bytes) -> Any:
    """Parse a JSON text (UTF-8).

    Raises:
        InvalidRequest: the text has a syntax error, is nested deeper than `MAX_DEPTH` levels, repeats a key, or
            contains a number that would lose precision, a NUL character or a lone surrogate.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest([Fault(_BODY, f"is not JSON: {error}")]) from error
    # Cheap checks on the text decide whether the more expensive checks of the document are necessary.
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
    """Check that a document has no NUL character in its keys and values, because PostgreSQL cannot store one."""
    found = _find_nul(document)
    if found is not None:
        raise InvalidRequest([Fault(place(found) if found else _BODY, "contains a NUL character")])


def _find_nul(value: Any) -> tuple[str | int, ...] | None:
    """Return the location of the first NUL character, or None."""
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
