"""Browsers: which web pages may use an API that runs without authentication.

A server on loopback is reachable by every web page that the user has open. Such a page can send its own requests
(cross-site request forgery), or make its own host name resolve to 127.0.0.1 (DNS rebinding). A page cannot forge
`Host`, `Origin` and `Sec-Fetch-Site`, so these three headers decide:

    Host             must be a loopback name or one of ORCHESTRATOR_ALLOWED_HOSTS
    Origin           must be that of the server itself or one of ORCHESTRATOR_CORS_ORIGINS
    Sec-Fetch-Site   without an Origin: must not be another site, unless the user follows a link

With authentication none of this is needed: a page does not know a key, and browsers do not send one by themselves. They
do send the cookie of a session; `session_cookie.py` checks those requests.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.errors import HostNotAllowed, OriginNotAllowed, answer_to
from orchestrator.application.errors import RequestError

_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443"}
_ANY = "*"
_OWN_SITES = frozenset({"same-origin", "none"})
_SAFE = frozenset({"GET", "HEAD"})
_MAX_QUOTED = 200
_MAX_HOST = 300  # characters, including the port
_NONE: tuple[str, str | None, bool] = ("", None, False)


class SameSite:
    """Middleware that refuses requests from web pages of other origins.

    Args:
        app: the app to protect.
        hosts: host names of this server, besides those of loopback.
        origins: origins whose pages may use this server; `*` allows all.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            answer = answer_to(refusal)
            if answer is not None:
                await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        hosts: list[str] = []
        origins: list[str] = []
        fetch: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value.decode("latin-1"))
            elif name == b"origin":
                origins.append(value.decode("latin-1"))
            elif name.startswith(b"sec-fetch-"):
                fetch[name] = value.decode("latin-1")
        authority = self._authority(hosts)
        if authority is None:
            return HostNotAllowed(
                f"the Host {', '.join(hosts)[:_MAX_QUOTED]!r} is not a name of this server; "
                "use 127.0.0.1 or localhost, or add the name to ORCHESTRATOR_ALLOWED_HOSTS"
            )
        if origins:
            if not all(self._allows(origin, authority) for origin in origins):
                return OriginNotAllowed(
                    f"pages of {', '.join(origins)[:_MAX_QUOTED]!r} may not use this server; "
                    "add the origin to ORCHESTRATOR_CORS_ORIGINS to allow it"
                )
        elif fetch.get(b"sec-fetch-site", "none") not in _OWN_SITES and not _follows_link(scope["method"], fetch):
            return OriginNotAllowed("web pages of other sites may not use this server")
        return None

    def _authority(self, hosts: list[str]) -> tuple[str, str | None] | None:
        """Return the name and the port in the Host header, or None if it is not a name of this server."""
        name, port, is_local = _read(hosts[0]) if len(hosts) == 1 and len(hosts[0]) <= _MAX_HOST else _NONE
        return (name, port) if is_local or name in self._hosts else None

    def _allows(self, origin: str, authority: tuple[str, str | None]) -> bool:
        if _ANY in self._origins or origin in self._origins:
            return True
        return _is_origin_of(origin, authority)


@lru_cache(maxsize=256)
def _read(host: str) -> tuple[str, str | None, bool]:
    """Return the name and port in a Host header, and whether it is loopback. The name of a malformed one is empty."""
    parsed = _HOST.fullmatch(host.lower())
    if parsed is None:
        return _NONE
    name = parsed["name"].removesuffix(".")
    return name, parsed["port"], is_loopback(name)


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether an `Origin` header is that of the server which a `Host` header names."""
    name, port, _ = _read(host) if len(host) <= _MAX_HOST else _NONE
    return bool(name) and _is_origin_of(origin, (name, port))


def _is_origin_of(origin: str, authority: tuple[str, str | None]) -> bool:
    scheme, _, place = origin.partition("://")
    parsed = _HOST.fullmatch(place.lower())
    if parsed is None or scheme not in _PORTS:
        return False
    name, port = authority
    default = _PORTS[scheme]  # also for a Host without a port: behind a proxy that terminates TLS, neither has one
    return parsed["name"].removesuffix(".") == name and (parsed["port"] or default) == (port or default)


def is_loopback(name: str) -> bool:
    """Return whether a host name (in lower case, IPv6 addresses in brackets) always means this machine."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _follows_link(method: str, fetch: Mapping[bytes, str]) -> bool:
    """Return whether the user follows a link to one of our pages. The page with the link cannot read the response."""
    return (
        method in _SAFE
        and fetch.get(b"sec-fetch-mode") == "navigate"
        and fetch.get(b"sec-fetch-dest", "document") == "document"
    )
