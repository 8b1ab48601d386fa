"""Connections of HTTP skills: kept open between calls, and never shared between tenants.

A request carries only what the skill declares. Cookies of earlier responses are not kept.
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
    """The connections of one tenant, and how many calls are using them."""

    client: "httpx.AsyncClient"
    calls: int = 0


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[str, _Pool]]" = WeakKeyDictionary()


@asynccontextmanager
async def open_client(tenant: str) -> "AsyncIterator[httpx.AsyncClient]":
    """Yield the HTTP client of a tenant for the running event loop."""
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
    """Close the least recently used idle clients while too many tenants have one."""
    excess = len(pools) - _MAX_IDLE_TENANTS
    for tenant in [tenant for tenant, pool in pools.items() if not pool.calls][: max(0, excess)]:
        await pools.pop(tenant).client.aclose()


def _build_client() -> "httpx.AsyncClient":
    import httpx  # noqa: PLC0415 - slow to import, and not every worker has HTTP skills

    return httpx.AsyncClient(
        verify=_tls(),
        limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE_CONNECTIONS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


@cache
def _tls() -> SSLContext:
    """Return the TLS context, cached because loading its certificates takes longer than a request."""
    import httpx  # noqa: PLC0415 - see `_build_client`

    return httpx.create_ssl_context()
