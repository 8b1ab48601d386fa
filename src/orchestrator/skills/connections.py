"""Connections of HTTP skills: kept open from call to call, and never shared between tenants.

A request carries what the skill declares and nothing that an earlier answer left behind: cookies are not kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import httpx

_MAX_IDLE_TENANTS = 64
_MAX_CONNECTIONS = 1000
_MAX_IDLE_CONNECTIONS = 100


@dataclass(slots=True)
class _Pool:
    """The connections of one tenant, and how many calls use them now."""

    client: "httpx.AsyncClient"
    calls: int = 0


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[str, _Pool]]" = WeakKeyDictionary()


@asynccontextmanager
async def open_client(tenant: str) -> "AsyncIterator[httpx.AsyncClient]":
    """Yield the client of a tenant on the running event loop."""
    pools = _pools.setdefault(asyncio.get_running_loop(), OrderedDict())
    pool = pools.get(tenant)
    if pool is None:
        pool = pools[tenant] = _Pool(_build_client())
    pools.move_to_end(tenant)
    pool.calls += 1
    try:
        yield pool.client
    finally:
        pool.calls -= 1
        await _close_idle(pools)


async def close_connections() -> None:
    """Close the connections of the running event loop; the next call opens new ones."""
    for pool in _pools.pop(asyncio.get_running_loop(), OrderedDict()).values():
        await pool.client.aclose()


async def _close_idle(pools: OrderedDict[str, _Pool]) -> None:
    """Close what was used longest ago while too many tenants have connections."""
    excess = len(pools) - _MAX_IDLE_TENANTS
    for tenant in [tenant for tenant, pool in pools.items() if not pool.calls][: max(0, excess)]:
        await pools.pop(tenant).client.aclose()


def _build_client() -> "httpx.AsyncClient":
    import httpx  # noqa: PLC0415 - a worker without HTTP skills starts without waiting for it

    return httpx.AsyncClient(
        verify=_tls(),
        limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE_CONNECTIONS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


@cache
def _tls() -> SSLContext:
    """Return the certificates to trust; reading them takes longer than a request."""
    import httpx  # noqa: PLC0415 - see `_build_client`

    return httpx.create_ssl_context()
