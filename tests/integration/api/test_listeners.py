"""Thousands who watch, on one API process and one listening connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from orchestrator.api.app import Api, create_app
from orchestrator.api.services import RequestLimits
from orchestrator.application.core import Core
from tests.integration.counting import CountingDatabase
from tests.waiting import until
from tests.world.core import open_world, register
from tests.world.http import RUNS, serving, trigger
from tests.world.lines import LINE

WATCHERS = 2000
RUNS_WATCHED = 20


class Watcher:
    """A client that reads a stream and keeps little of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.comments = 0
        self.text = b""

    @classmethod
    async def open(cls, port: int, run_id: str) -> "Watcher":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {RUNS}/{run_id}/events/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        await reader.readuntil(b"event: RunTriggered")
        return cls(reader, writer)

    async def read(self) -> None:
        """Read to the end of the stream."""
        while line := await self._reader.readline():
            if line.startswith(b":"):
                self.comments += 1
            elif line.startswith(b"event: "):
                self.text = line.strip()
        self._writer.close()


@pytest.fixture
def database(database_url: str) -> Iterator[CountingDatabase]:
    database = CountingDatabase(database_url)
    yield database
    database.close()


@asynccontextmanager
async def watched(
    app: Api, port: int, runs: list[str]
) -> AsyncIterator[tuple[list[Watcher], "asyncio.Future[list[None]]"]]:
    watchers: list[Watcher] = []
    for start in range(0, WATCHERS, 100):
        numbers = range(start, start + 100)
        watchers += await asyncio.gather(*(Watcher.open(port, runs[n % len(runs)]) for n in numbers))
    reading = asyncio.gather(*(watcher.read() for watcher in watchers))
    assert app.served.feed.watched == WATCHERS
    yield watchers, reading


async def test_two_thousand_idle_watchers_cost_no_query_and_little_memory(
    database: CountingDatabase, database_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        opened = stack.enter_context(open_world(database_url, tmp_path)).core
        core: Core = replace(opened, database=database)
        await register(core, LINE)
        app = create_app(core, RequestLimits(heartbeat=1.0))
        async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            runs = [await trigger(client) for _ in range(RUNS_WATCHED)]
            before = psutil.Process().memory_info().rss
            async with asyncio.timeout(120), watched(app, port, runs) as (watchers, reading):
                grown = psutil.Process().memory_info().rss - before
                assert grown / WATCHERS < 120_000, "both ends of each connection"

                await until(lambda: all(watcher.comments for watcher in watchers))
                lent = database.lent
                heard = sum(watcher.comments for watcher in watchers)
                await asyncio.sleep(3)  # the time itself is the subject: nobody asks meanwhile
                assert database.lent == lent, "nobody asks while nothing happens"
                assert sum(watcher.comments for watcher in watchers) >= heard + WATCHERS, "a sign of life each second"

                metrics = (await client.get("/metrics")).text
                assert f"orchestrator_http_streams {WATCHERS:.1f}" in metrics

                await client.post(f"{RUNS}/{runs[0]}/cancel")
                await until(lambda: app.served.feed.watched == WATCHERS - WATCHERS // RUNS_WATCHED)
                asked = database.lent
                assert asked - lent < 2 * WATCHERS / RUNS_WATCHED, "only those of the run that was cancelled look"
                for run_id in runs[1:]:
                    await client.post(f"{RUNS}/{run_id}/cancel")
                await reading
            assert {watcher.text for watcher in watchers} == {b"event: RunCancelled"}
            assert app.served.feed.watched == 0
