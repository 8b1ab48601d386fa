"""Check external artifacts with HEAD requests, to public addresses only unless the operator allows other networks.

The URI comes from a skill, or from the service behind it. An unchecked request would let them reach what only this
machine can reach, such as local ports, private hosts and the cloud's metadata service (SSRF). So the host name is
resolved here, all of its addresses are checked, and the request goes to a checked address. Each redirect is checked
again.
"""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from ssl import SSLContext
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import httpx

HEAD_TIMEOUT_SECONDS = 5.0
MAX_REDIRECTS = 5

_HEADS_AT_ONCE = 8
_GONE = frozenset({404, 410})
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset({ip_address("168.63.129.16")})  # Azure's metadata service has a public address

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an artifact is not known to be intact: it is faulty (`checked`), or it could not be checked."""

    reason: str
    checked: bool = True


@dataclass(frozen=True, slots=True)
class _Length:
    """The size in bytes that a server reports for an existing artifact, or None."""

    size_bytes: int | None


class _Refused(Exception):
    """The request is not allowed."""


class Outside:
    """Checks external artifacts.

    Args:
        networks: allowed networks besides public addresses, such as `10.0.0.0/8` or `127.0.0.1`.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._allowed = tuple(ip_network(network) for network in networks)

    def verdicts(self, sizes: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Verdict | None]:
        """Return what is wrong with each URI, or None. Each comes with its recorded size (-1 means unknown).

        The requests run in parallel. After a server has not answered once, no further request waits for it.
        """
        wanted = set(sizes)
        uris = sorted({uri for uri, _ in wanted})
        silent: set[str] = set()
        if len(uris) > 1:
            with ThreadPoolExecutor(_HEADS_AT_ONCE, "artifact-head") as threads:
                found = dict(zip(uris, threads.map(lambda uri: self._look(uri, silent), uris), strict=True))
        else:
            found = {uri: self._look(uri, silent) for uri in uris}
        return {(uri, size): _compared(found[uri], size) for uri, size in wanted}

    def _look(self, uri: str, silent: set[str]) -> _Length | Verdict:
        import httpx  # noqa: PLC0415 - every process imports this module, but few check URIs

        origin = urlsplit(uri).netloc
        if origin in silent:
            return Verdict(f"not checked: {origin} did not answer an earlier request", checked=False)
        try:
            with httpx.Client(verify=_tls(), timeout=HEAD_TIMEOUT_SECONDS, trust_env=False) as client:
                answer = self._head(client, uri)
        except _Refused as refusal:
            return Verdict(f"not checked: {refusal}", checked=False)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if isinstance(error, httpx.TimeoutException | httpx.ConnectError | OSError):
                silent.add(origin)
            return Verdict(f"not checked: unreachable: {type(error).__name__}: {error}", checked=False)
        if answer.status_code in _GONE:
            return Verdict(f"missing: HEAD returned {answer.status_code}")
        if not answer.is_success:
            return Verdict(f"not checked: HEAD returned {answer.status_code}", checked=False)
        length = answer.headers.get("content-length", "")
        known = length.isascii() and length.isdecimal() and "content-encoding" not in answer.headers
        return _Length(int(length[:20]) if known else None)

    def _head(self, client: "httpx.Client", uri: str) -> "httpx.Response":
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(uri)
            if parts.scheme not in ("http", "https") or parts.hostname is None:
                raise _Refused(f"{uri[:200]} is not an http or https URI")
            address = self._address(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
            host = f"[{address}]" if address.version == 6 else str(address)
            user, at, name = parts.netloc.rpartition("@")
            netloc = f"{user}{at}{host}" + ("" if parts.port is None else f":{parts.port}")
            answer = client.head(
                parts._replace(netloc=netloc, fragment="").geturl(),
                headers={"Host": name},
                extensions={"sni_hostname": parts.hostname},
                follow_redirects=False,
            )
            if not answer.has_redirect_location:
                return answer
            uri = urljoin(uri, answer.headers["location"])
        raise _Refused(f"more than {MAX_REDIRECTS} redirects")

    def _address(self, host: str, port: int) -> Address:
        """Return the address to connect to. A host is refused if any of its addresses is not allowed."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(each[4][0])) for each in found]
        for address in addresses:
            if not self._may_ask(address):
                raise _Refused(
                    f"{host} resolves to {address}, which is not a public address; "
                    "to allow it, add its network to ORCHESTRATOR_ARTIFACT_NETWORKS"
                )
        return addresses[0]

    def _may_ask(self, address: Address) -> bool:
        inner = _inner(address)
        if any(each in network for each in {address, inner} for network in self._allowed):
            return True
        return inner.is_global and not inner.is_multicast and inner not in _METADATA


def _inner(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _compared(found: _Length | Verdict, size_bytes: int) -> Verdict | None:
    if isinstance(found, Verdict):
        return found
    if size_bytes < 0 or found.size_bytes is None or found.size_bytes == size_bytes:
        return None
    return Verdict(f"altered: size {found.size_bytes} instead of {size_bytes}")


@cache
def _tls() -> SSLContext:
    """Return the TLS context. It is cached because loading the certificates takes longer than a request."""
    import httpx  # noqa: PLC0415 - see `_look`

    return httpx.create_ssl_context()
