"""The OpenAPI document: descriptions shared by endpoints, and corrections to what FastAPI generates."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, Path

from orchestrator.api.session_cookie import COOKIE
from orchestrator.api.shapes import Error

RunId = Annotated[UUID, Path(alias="runId", description="Id of a run.")]
MinPosition = Annotated[
    int | None,
    Header(
        alias="X-Min-Position",
        ge=0,
        le=2**63 - 1,
        description="Wait, for at most 2 s, until the read models have reached this log position.",
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="ETags of responses that the client already has.")
]
_SCHEMAS = "#/components/schemas/"
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not modified: the client already has this response."}
}

_HEADERS: Mapping[str, str] = {
    "Location": "URL of the created or changed resource.",
    "X-Log-Position": "Log position of the write. Send it as `X-Min-Position` with a read to see the write.",
    "Retry-After": "Seconds to wait before the next try.",
    "WWW-Authenticate": "The expected credentials, and what was wrong with the ones sent (RFC 6750).",
    "Set-Cookie": "The cookie of the session: HttpOnly, SameSite=Strict, and Secure behind TLS.",
    "ETag": 'The SHA-256 of the content in hex, in quotes; `"` + contentHash + `"`.',
}
_SESSION = {
    "type": "apiKey",
    "in": "cookie",
    "name": COOKIE,
    "description": "The session of a browser (`POST /session`). Calls that change something also need an `Origin` "
    "header with the origin of this server.",
}
# Error statuses of requests that name a run: it may be unknown (404), or archived or deleted (410).
NO_RUN = (404, 410)
# Error statuses that any request may get.
_ALWAYS = (400, 403, 421, 500, 503)
# Additional error statuses of requests that need authentication, with their headers.
_AUTHENTICATION: Mapping[int, tuple[str, ...]] = {401: ("WWW-Authenticate",), 403: (), 429: ("Retry-After",)}


def answers(
    *statuses: int, headers: Mapping[int, tuple[str, ...]] | None = None, body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint: its own error statuses, those of every endpoint, and headers.

    Args:
        statuses: error statuses of this endpoint.
        headers: for each status, the names of the response headers.
        body: whether the endpoint takes a body, which may be late, too large or of the wrong media type.
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
    """Return the responses to requests that fail authentication or authorization."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content, "headers": _described(names)}
        for status, names in _AUTHENTICATION.items()
    }


class Described(FastAPI):
    """An app with an accurate OpenAPI document: invalid requests get 400, not FastAPI's 422.

    `lets_in_all` means that authentication is optional.
    """

    lets_in_all = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document. It is built once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if "security" in operation:
                        operation["responses"] |= _refusals()
                        operation["security"].append({"session": operation["security"][0]["bearer"]})
                        if self.lets_in_all:
                            operation["security"].append({})
            document["components"]["securitySchemes"]["session"] = _SESSION
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            self.openapi_schema = _with_public_names(document)
        return self.openapi_schema


def _with_public_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with `Run` instead of `RunView`, `TriggerRun` instead of `TriggerRunBody`, and so on.

    Generated clients name their classes after these schemas. Our own classes need the suffix, to be distinct from the
    domain's classes.
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
