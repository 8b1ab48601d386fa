"""Validate the URL and headers of an HTTP skill when it is declared, before a run needs them."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestrator.skills.placeholders import placeholder_fault, secret_names

MAX_URL = 8192
MAX_HEADERS = 100
MAX_HEADER_VALUE = 8192

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,255}")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")  # RFC 9110, 5.5, ASCII only
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "idempotency-key",
        "keep-alive",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-orchestrator-attempt",
        "x-orchestrator-run-id",
        "x-orchestrator-step-id",
        "x-orchestrator-tenant",
    }
)


def url_fault(url: str) -> str | None:
    """Return why a request cannot be sent to a URL, or None when it can."""
    if len(url) > MAX_URL:
        return f"has {len(url)} characters; at most {MAX_URL} are allowed"
    if " " in url or not url.isprintable():
        return "contains a space or an unprintable character; percent-encode it, such as %20"
    if why := placeholder_fault(url):
        return f"is invalid: {why}"
    if secret_names(url.partition("?")[0]):
        return "has a secret outside of its query; put the secret into a header or into the query"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme not in ("http", "https") or not host:
        return "must be an absolute URL such as https://host:8443/path"
    if port == 0:
        return "has port 0; ports go from 1 to 65535"
    if parts.username is not None or parts.password is not None:
        return "contains a user name; put credentials into a header such as Authorization"
    if parts.fragment:
        return "contains a fragment (#...), which is never sent; remove it"
    return _unreachable(url)


def headers_fault(headers: Mapping[str, str]) -> str | None:
    """Return which header cannot be sent and why, or None when all can."""
    if len(headers) > MAX_HEADERS:
        return f"has {len(headers)} headers; at most {MAX_HEADERS} are allowed"
    seen: dict[str, str] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            return f"{name[:80]!r} is not a valid header name: letters, digits and !#$%&'*+.^_`|~- are allowed"
        if name.lower() in _OURS:
            return f"{name} is set by the orchestrator and cannot be declared"
        if (earlier := seen.setdefault(name.lower(), name)) != name:
            return f"{name} and {earlier} are the same header"
        if len(value) > MAX_HEADER_VALUE:
            return f"the value of {name} has {len(value)} characters; at most {MAX_HEADER_VALUE} are allowed"
        if not _VALUE.fullmatch(value):
            return f"the value of {name} must be printable ASCII on one line, without spaces around it"
        if why := placeholder_fault(value):
            return f"the value of {name}: {why}"
    return None


def _unreachable(url: str) -> str | None:
    """Return why httpx, which sends the requests and checks host names more strictly, rejects a URL, or None."""
    import httpx  # noqa: PLC0415 - slow to import, and needed only for HTTP skills

    try:
        httpx.URL(url).raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError) as error:
        return f"is not a URL: {error}"
    return None
