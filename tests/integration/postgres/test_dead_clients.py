"""A dead network is noticed at both ends: no session is left behind for hours, and no process waits to end."""

import asyncio
import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import Listener
from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.session import Statement
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.clusters import Cluster
from tests.conftest import MIGRATIONS
from tests.proxy import SwallowingProxy
from tests.waiting import eventually

NETWORK_TIMEOUT_MS = 4000
_TICKS_A_SECOND = 100  # in which the kernel tells times to programs, whatever its own are
_ESTABLISHED, _KEEPALIVE = "01", "02"


@pytest.fixture
def server(data_dir: Path) -> Iterator[tuple[str, int]]:
    """A server on a loopback address, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Cluster(data_dir / "cluster", addresses=["127.0.0.1"], port=port) as cluster:
        cluster.create()
        cluster.start()
        migrate(cluster.url, MIGRATIONS)
        yield cluster.url, port


def seconds_to_probes(port: int) -> list[float]:
    """Return of each session of the server on a port when its kernel asks after the client next."""

    def look() -> list[float] | None:
        found = []
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, _, timer, *_ = line.split()
            if int(local.split(":")[1], 16) == port and state == _ESTABLISHED:
                kind, ticks = timer.split(":")
                found.append(int(ticks, 16) / _TICKS_A_SECOND if kind == _KEEPALIVE else None)
        # A socket has one timer: what was sent last may not be acknowledged yet.
        return None if None in found else [seconds for seconds in found if seconds is not None] or [math.inf]

    probes: list[float] = eventually(look)
    return probes


async def test_every_connection_of_a_process_is_probed_by_the_server(server: tuple[str, int]) -> None:
    """Those of the pool, those of the loop, those of a thread, and the one that listens."""
    url, port = server
    database = Database(url, network_timeout_ms=NETWORK_TIMEOUT_MS)
    listener = Listener(url, network_timeout_ms=NETWORK_TIMEOUT_MS)
    try:
        listener.start()
        with database.connection() as connection:
            connection.execute("SELECT 1")
            await database.loop_session().run(Statement("one", "SELECT 1", ()), ())
            await asyncio.to_thread(database.session().run, Statement("one", "SELECT 1", ()), ())
            probes = seconds_to_probes(port)
        assert len(probes) >= 4
        assert max(probes) <= NETWORK_TIMEOUT_MS / 1000
    finally:
        listener.stop()
        database.close()


def test_a_connection_of_somebody_else_is_probed_after_hours(server: tuple[str, int]) -> None:
    """What Postgres does unless it is asked; so the test before this one can fail."""
    url, port = server
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
        assert max(seconds_to_probes(port)) > 60


def test_who_waits_for_a_silent_server_does_not_hold_up_the_end(database_url: str) -> None:
    """Whether it waits on a connection of the pool or on one of its own."""
    with SwallowingProxy(database_url) as proxy, ThreadPoolExecutor() as threads:
        database = Database(proxy.url(), statement_timeout_ms=600_000)
        session = database.session()
        one = Statement("one", "SELECT 1", ())

        def ask() -> None:
            with database.connection() as connection:
                connection.execute("SELECT 1")

        session.run(one, ())
        ask()
        proxy.swallow()
        waiting = [threads.submit(session.run, one, ()), threads.submit(ask)]
        eventually(lambda: proxy.swallowed > 0)
        database.end_waits(0.5)
        for future in waiting:
            with pytest.raises(DatabaseUnavailable):
                future.result(60)
        database.close()
