"""Prefect 3: flows whose states are stored by its own server, which is started here.

The server uses its default database, SQLite with `synchronous = NORMAL`: on Postgres it needs the extension pg_trgm,
which our Postgres does not have. This is less durable than the setup of the others, and therefore favours Prefect.
Results are persisted, in its default storage (files); without that a run cannot be taken up again.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from typing import Any

from benchmarks.graphs import CAMPAIGN_EDGES, levels
from benchmarks.peers.answers import answer

_START_SECONDS = 120
_AT_ONCE = 4  # with more, its server refuses requests (503) and is no faster


def start_server() -> "subprocess.Popen[bytes]":
    """Start the server on a free port, point this process at it, and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health"):
                return server
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    server = start_server()
    # Prefect reads its settings at import.
    from prefect import flow, task  # noqa: PLC0415
    from prefect.cache_policies import INPUTS, NO_CACHE  # noqa: PLC0415

    @task(persist_result=True, cache_policy=NO_CACHE)
    async def noop(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
        return {}

    @task(persist_result=True, cache_policy=INPUTS)
    async def cached_noop(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
        return {}

    async def graph(step: Any, seed: str) -> None:
        done: dict[str, Any] = {}
        for level in levels():
            outputs = await asyncio.gather(
                *(step(name, seed, [done[other] for other in CAMPAIGN_EDGES[name]]) for name in level)
            )
            done.update(zip(level, outputs, strict=True))

    @flow
    async def campaign(seed: str) -> None:
        await graph(noop, seed)

    @flow
    async def cached_campaign(seed: str) -> None:
        await graph(cached_noop, seed)

    loop = asyncio.new_event_loop()
    seen = uuid.uuid4().hex

    def run(workflow: Any, seeds: Sequence[str]) -> dict[str, Any]:
        """Run one after the other; return the milliseconds of each run."""
        times = []
        for seed in seeds:
            started = time.perf_counter()
            loop.run_until_complete(workflow(seed))
            times.append((time.perf_counter() - started) * 1000)
        return {"times": times}

    async def all_of(runs: int) -> None:
        places = asyncio.Semaphore(_AT_ONCE)

        async def one() -> None:
            async with places:
                await campaign(uuid.uuid4().hex)

        await asyncio.gather(*(one() for _ in range(runs)))

    def at_once(runs: int) -> dict[str, Any]:
        started = time.perf_counter()
        loop.run_until_complete(all_of(runs))
        return {"seconds": time.perf_counter() - started}

    try:
        run(cached_campaign, [seen])
        answer(
            {
                "alone": lambda runs: run(campaign, [uuid.uuid4().hex for _ in range(runs)]),
                "cached": lambda runs: run(cached_campaign, [seen] * runs),
                "at once": at_once,
            }
        )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
