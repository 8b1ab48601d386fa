"""DBOS Transact: workflows with the state of each step in Postgres.

Two styles from its documentation are measured: coroutines, whose steps are gathered level by level, and plain
functions, whose steps run one after the other. Runs alone are called directly, which is the fastest way; runs at once
are started in the background and awaited.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dbos import DBOS

from benchmarks.graphs import CAMPAIGN_EDGES, levels
from benchmarks.peers.answers import answer

LEVELS = levels()
LOOP = asyncio.new_event_loop()
JOURNAL = Path(os.environ.get("BENCH_JOURNAL", os.devnull))


def note(line: str) -> None:
    with JOURNAL.open("a") as file:
        file.write(f"{line}\n")


@DBOS.step()
async def noop(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
    return {}


@DBOS.step()
async def sleep(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
    note(f"start {seed} {step}")
    await asyncio.sleep(0.02)
    note(f"end {seed} {step}")
    return {}


@DBOS.step()
def noop_in_order(step: str, seed: str, upstream: list[Any]) -> dict[str, Any]:
    return {}


async def gathered(step: Callable[..., Awaitable[Any]], seed: str) -> None:
    done: dict[str, Any] = {}
    for level in LEVELS:
        outputs = await asyncio.gather(
            *(step(name, seed, [done[other] for other in CAMPAIGN_EDGES[name]]) for name in level)
        )
        done.update(zip(level, outputs, strict=True))


@DBOS.workflow()
async def campaign(seed: str) -> None:
    await gathered(noop, seed)


@DBOS.workflow()
async def sleeping_campaign(seed: str) -> None:
    await gathered(sleep, seed)


@DBOS.workflow()
def campaign_in_order(seed: str) -> None:
    done: dict[str, Any] = {}
    for name in (name for level in LEVELS for name in level):
        done[name] = noop_in_order(name, seed, [done[other] for other in CAMPAIGN_EDGES[name]])


@DBOS.workflow()
async def one(seed: str) -> None:
    await noop("only", seed, [])


@DBOS.workflow()
def one_in_order(seed: str) -> None:
    noop_in_order("only", seed, [])


def alone(style: str, runs: int) -> dict[str, Any]:
    """Run one after the other; return the milliseconds of each run."""

    async def measure() -> list[float]:
        times = []
        for seed in seeds(runs):
            started = time.perf_counter()
            await campaign(seed)
            times.append((time.perf_counter() - started) * 1000)
        return times

    if style == "gathered":
        return {"times": LOOP.run_until_complete(measure())}
    times = []
    for seed in seeds(runs):
        started = time.perf_counter()
        campaign_in_order(seed)
        times.append((time.perf_counter() - started) * 1000)
    return {"times": times}


def at_once(style: str, runs: int, steps: int) -> dict[str, Any]:
    """Start all runs, then wait for all; return the seconds it took."""
    started = time.perf_counter()
    if style == "gathered":
        LOOP.run_until_complete(_all(campaign if steps > 1 else one, runs))
    else:
        workflow = campaign_in_order if steps > 1 else one_in_order
        for handle in [DBOS.start_workflow(workflow, seed) for seed in seeds(runs)]:
            handle.get_result()
    return {"seconds": time.perf_counter() - started}


def crash(runs: int) -> dict[str, Any]:
    """Start runs whose steps take 20 ms and write a line to the journal; the process is killed before the end."""
    LOOP.run_until_complete(_all(sleeping_campaign, runs))
    return {}


async def _all(workflow: Callable[..., Any], runs: int) -> None:
    handles = [await DBOS.start_workflow_async(workflow, seed) for seed in seeds(runs)]
    await asyncio.gather(*(handle.get_result() for handle in handles))


def seeds(count: int) -> list[str]:
    return [uuid.uuid4().hex for _ in range(count)]


if __name__ == "__main__":
    DBOS(config={"name": "bench", "system_database_url": os.environ["BENCH_DATABASE_URL"], "log_level": "ERROR"})
    DBOS.launch()
    answer({"alone": alone, "at once": at_once, "crash": crash})
    DBOS.destroy()
