"""The OpenAPI document: what endpoints share in their descriptions, and what FastAPI says that is not so."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, Path

from orchestrator.api.shapes import Error

RunId = Annotated[UUID, Path(alias="runId", description="Id of a run.")]
MinPosition = Annotated[
    int | None,
    Header(
        alias="X-Min-Position",
        ge=0,
        le=2**63 - 1,
        description="Wait (at most 2 s) until the read models have reached this position of the log.",
    ),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETags of answers that the client has.")]
_SCHEMAS = "#/components/schemas/"
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}

_HEADERS: Mapping[str, str] = {
    "Location": "Where to find what was made.",
    "X-Log-Position": "Position of the write in the log; send it as `X-Min-Position` with a read.",
    "Retry-After": "Seconds.",
    "WWW-Authenticate": "What to show, and what was wrong with what was shown (RFC 6750).",
    "ETag": 'The SHA-256 of the content in hex, in quotes; `"` + contentHash + `"`.',
}
# Any request may end in one of these.
_ALWAYS = (400, 403, 421, 500, 503)
# And one that has to show who makes it in one of these, with these headers.
_AT_THE_GATE: Mapping[int, tuple[str, ...]] = {401: ("WWW-Authenticate",), 403: (), 429: ("Retry-After",)}


def answers(
    *statuses: int, headers: Mapping[int, tuple[str, ...]] | None = None, body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint: the errors among `statuses`, those of every call, and headers.

    Args:
        statuses: error statuses of this call.
        headers: names of the headers that answers of a status carry.
        body: whether the call takes a body, which can be late, too large or of the wrong kind.
    """
    errors = {*statuses, *_ALWAYS, *((408, 413, 415) if body else ())}
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": HTTPStatus(status).phrase} for status in sorted(errors)
    }
    described[503]["headers"] = _described(("Retry-After",))
    for status, names in (headers or {}).items():
        described.setdefault(status, {})["headers"] = _described(names)
    return described


def _described(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def _refusals() -> dict[str, Any]:
    """Return how a call answers whoever may not make it."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content, "headers": _described(names)}
        for status, names in _AT_THE_GATE.items()
    }


class Described(FastAPI):
    """An app that describes itself as it is: invalid requests are 400, not FastAPI's 422.

    `lets_in_all` says that nobody has to show who they are, but may.
    """

    lets_in_all = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if "security" in operation:
                        operation["responses"] |= _refusals()
                        if self.lets_in_all:
                            operation["security"].append({})
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            self.openapi_schema = _with_public_names(document)
        return self.openapi_schema


def _with_public_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with `Run` where our class is `RunView`, and `TriggerRun` where it is `TriggerRunBody`.

    Generated clients name their classes after these schemas. Ours need the suffix beside the classes of the domain.
    """
    schemas = document["components"]["schemas"]
    public = {name: name.removesuffix("View").removesuffix("Body") for name in schemas}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if isinstance(value, str) and value.startswith(_SCHEMAS):
            return _SCHEMAS + public[value.removeprefix(_SCHEMAS)]
        return value

    document["components"]["schemas"] = {
        public[name]: schema | {"title": public[name]} for name, schema in schemas.items()
    }
    return {key: renamed(value) for key, value in document.items()}
