"""The cookie of a session, and the check that a write which a cookie authenticates comes from a page of this server.

A browser sends cookies by itself, also with requests of other pages. `SameSite=Strict` keeps it from doing so for pages
of other sites, and the check of `Origin` for pages of other hosts of the same site.
"""

import time

from starlette.requests import Request

from orchestrator.api.browsers import is_same_origin
from orchestrator.api.errors import OriginNotAllowed

COOKIE = "orchestrator_session"

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_CHARACTERS = 16_384
_MAX_QUOTED = 200


def session_of(request: Request) -> str | None:
    """Return the session id in the cookies of a request, or None if there is none."""
    for name, value in request.scope["headers"]:
        if name == b"cookie" and len(value) <= _MAX_CHARACTERS:
            for pair in value.decode("latin-1").split(";"):
                key, _, shown = pair.strip(" ").partition("=")
                if key == COOKIE:
                    return str(shown)
    return None


def require_own_origin(request: Request) -> None:
    """Check that a request which changes something comes from a page of this server.

    Raises:
        OriginNotAllowed: the header `Origin` is missing, repeated, or names another origin than that of `Host`.
    """
    if request.scope["method"] in _READS:
        return
    origins = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"origin"]
    hosts = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"host"]
    if not origins:
        raise OriginNotAllowed(
            "a change that is authenticated by a cookie needs the header Origin, as browsers send it"
        )
    if len(origins) > 1 or len(hosts) != 1 or not is_same_origin(origins[0], hosts[0]):
        raise OriginNotAllowed(
            f"pages of {', '.join(origins)[:_MAX_QUOTED]!r} may not change anything with the cookie of this server; "
            "if a proxy changes the header Host, configure it to pass the original one"
        )


def set_cookie(request: Request, shown: str, expires_at: int) -> str:
    """Return the `Set-Cookie` header of a session that ends at a time in milliseconds since 1970 UTC."""
    seconds = max(0, expires_at // 1000 - int(time.time()))
    return f"{COOKIE}={shown}; Max-Age={seconds}; {_attributes(request)}"


def clear_cookie(request: Request) -> str:
    """Return the `Set-Cookie` header that removes the cookie of a session."""
    return f"{COOKIE}=; Max-Age=0; {_attributes(request)}"


def _attributes(request: Request) -> str:
    path = request.scope.get("root_path") or "/"
    secure = "; Secure" if request.scope.get("scheme") == "https" else ""
    return f"Path={path}; HttpOnly; SameSite=Strict{secure}"
