"""Storms in which the database goes away as a whole: failovers to a standby, and networks that swallow everything.

Nobody kills a worker here, so what each storm promises is more: no step is executed by two workers at the same time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import psutil
import psycopg

from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.sql import load_sql
from tests.chaos.fleet import open_fleet
from tests.chaos.ledger import open_ledger
from tests.clusters import Cluster
from tests.namespace import Unavailable, open_namespace
from tests.proxy import SwallowingProxy
from tests.standby import Pair

_SQL = load_sql(__file__)
LEASE_SECONDS = 5.0
_NETWORK_TIMEOUT_MS = 4000
_SESSION_SECONDS = 5 * _NETWORK_TIMEOUT_MS / 1000
_LENGTHS = (0.1, 1.0, 3.0, 1.5 * LEASE_SECONDS)
"""How long an outage lasts, in seconds: some are shorter than a lease, some are longer."""


async def failover(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Crash the primary and promote its standby, read-only for a while in between; then it has a standby again."""
    with Pair(folder / "pair") as pair:

        async def break_and_mend() -> None:
            await asyncio.to_thread(pair.lose_primary)
            await asyncio.sleep(chance.choice(_LENGTHS))
            await asyncio.to_thread(pair.fail_over)
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            await asyncio.to_thread(pair.join)

        return await _outages(pair, pair.url, folder, chance, seconds, break_and_mend)


async def dead_network(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """A network that swallows what is sent, without a word: as a proxy does, and as a real link that is down."""
    faults = await swallowed(folder / "proxy", chance, seconds)
    try:
        return [*faults, *await cut_link(folder / "link", chance, seconds)]
    except Unavailable as reason:
        print(f"dead_network: the proxy alone, for {reason}")
        return faults


async def swallowed(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """Two ways to the same server through proxies: one of them swallows everything for a while, or both do."""
    folder.mkdir(mode=0o755)
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder / "cluster"))
        cluster.create()
        cluster.start()
        ways = [stack.enter_context(SwallowingProxy(cluster.url)) for _ in range(2)]

        async def break_and_mend() -> None:
            broken = chance.choice((ways, ways[:1], ways[1:]))
            for way in broken:
                way.swallow()
            await asyncio.sleep(chance.choice(_LENGTHS))
            for way in broken:
                way.pass_on()

        return await _outages(cluster, ways[0].url(ways[1]), folder, chance, seconds, break_and_mend)


async def cut_link(folder: Path, chance: random.Random, seconds: float) -> list[str]:
    """A server in a network namespace, whose link goes down at the near or the far end, and comes back.

    Raises:
        Unavailable: there can be no namespace here.
    """
    with open_namespace() as namespace:
        folder.mkdir(mode=0o755)
        with Cluster(folder / "cluster", addresses=[namespace.address], within=namespace.within) as cluster:
            cluster.create()
            cluster.start()

            async def break_and_mend() -> None:
                await asyncio.to_thread(namespace.cut, far=chance.random() < 0.5)
                await asyncio.sleep(chance.choice(_LENGTHS))
                await asyncio.to_thread(namespace.mend)

            return await _outages(cluster, cluster.url, folder, chance, seconds, break_and_mend)


async def _outages(
    server: Cluster | Pair,
    url: str,
    folder: Path,
    chance: random.Random,
    seconds: float,
    break_and_mend: Callable[[], Awaitable[None]],
) -> list[str]:
    """Let workers execute runs through outages, and return what is wrong afterwards."""
    migrate(server.url, [files("orchestrator.postgres") / "migrations"])
    options = {"lease_seconds": LEASE_SECONDS, "network_timeout_ms": _NETWORK_TIMEOUT_MS}
    with (
        open_ledger(server.url, folder, network_timeout_ms=_NETWORK_TIMEOUT_MS) as ledger,
        open_fleet(url, folder, step_seconds=0.2, **options) as fleet,
    ):
        await ledger.register()
        fleet.start(3)
        deadline = time.monotonic() + seconds
        interrupted = 0
        async with ledger.feeding(chance):
            while time.monotonic() < deadline or not interrupted:
                await asyncio.sleep(chance.uniform(0.3, 1.5))
                interrupted += len(await asyncio.to_thread(ledger.under_way))
                await break_and_mend()
        await ledger.all_over()
        faults = ledger.faults(alone=True)
        if isinstance(server, Cluster) and server.addresses:
            faults += await asyncio.to_thread(left_behind, server)
        return faults


def left_behind(cluster: Cluster) -> list[str]:
    """Wait until the server holds no session without a client, in a namespace; returns what is wrong if it never does.

    The server notices what the network swallowed by itself.
    """
    deadline = time.monotonic() + _SESSION_SECONDS
    while True:
        with psycopg.connect(cluster.url) as connection:
            sessions = {port for (port,) in connection.execute(_SQL.client_ports)}
            clients = {
                client.laddr[1]
                for client in psutil.net_connections("tcp")
                if client.raddr and client.raddr[0] in cluster.addresses
            }
        if not sessions - clients:
            return []
        if time.monotonic() > deadline:
            return [f"the server holds {len(sessions)} sessions, {len(sessions - clients)} of them without a client"]
        time.sleep(0.2)
