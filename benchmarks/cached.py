"""W4: the cost of a cached step, by cache tier: many in one run, and the 13 steps of the campaign alone.

One process on the embedded Postgres, with the projector running as in `orchestrator dev`.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.changes import CALLER, finished, layered, projected
from benchmarks.folders import open_folder
from benchmarks.graphs import campaign_graph
from benchmarks.report import Report, median
from benchmarks.skills import noop
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.settings import Settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workers.worker import Worker
from orchestrator.workflows.document import load_document

STEPS = 1000


def cached_layers(steps: int, name: str) -> dict[str, Any]:
    """Return a graph of layers of 100 cached steps, each with a unique input that contains the previous result."""
    return {
        "workflowName": name,
        "version": "1.0.0",
        "steps": [
            {
                "stepId": f"s{number}",
                "skillId": "bench.noop",
                "dependsOn": [f"s{number - 100}"] if number >= 100 else [],
                "input": {
                    "seed": "trigger.seed",
                    "number": f"`{number}`",
                    "before": f"steps.s{number - 100}.data" if number >= 100 else "`null`",
                },
            }
            for number in range(steps)
        ],
    }


def measure(report: Report, *, full: bool) -> None:
    """Measure runs with all steps in the cache, tier by tier."""
    with open_folder() as folder, _valkey() as redis_url:
        data_dir = folder
        tiers = {
            "cold": Settings(data_dir=data_dir, cache_memory_bytes=0),
            "hot": Settings(data_dir=data_dir, cache_memory_bytes=0, redis_url=redis_url),
            "in process": Settings(data_dir=data_dir),
        }
        for tier, settings in tiers.items():
            if tier != "hot" or redis_url is not None:
                with open_core(settings) as core, open_projector(core):
                    asyncio.run(_measure(report, core, tier, full=full))


@contextmanager
def _valkey() -> Iterator[str | None]:
    """Yield the address of a new Valkey, or None if its package is not installed."""
    try:
        from tests.servers import ValkeyServer  # noqa: PLC0415 - an extra for development
    except ImportError:
        yield None
        return
    with ExitStack() as stack:
        yield stack.enter_context(ValkeyServer(stack.enter_context(open_folder()))).url


async def _measure(report: Report, core: Core, tier: str, *, full: bool) -> None:
    campaign = campaign_graph("bench.noop", name="w5.campaign", cached=True)
    for document in (cached_layers(STEPS, "w5.layers"), campaign, layered(1, "w5.one")):
        await core.workflows.register(load_document(document, "bench"), tenant="default", actor="bench")
    async with open_worker(core, SkillRegistry([noop])) as worker:
        many = await _times(core, worker, "w5.layers", 20 if full else 10)
        few = await _times(core, worker, "w5.campaign", 200 if full else 50)
        one = await _times(core, worker, "w5.one", 200 if full else 50)
    goal = "< 0.3" if tier == "cold" else ""
    report.add(f"W4 1,000 cached steps, {tier}", "per step", median(many) * 1000 / STEPS, "ms", goal)
    report.add(f"W4 campaign of 13 cached steps, {tier}", "p50", median(few) * 1000, "ms", "< 10")
    ratio = median(few) / median(one)
    report.add(f"W4 campaign of 13 cached steps, {tier}", "against a run that executes one step", ratio, "ratio")
    expected = {"cold": "cold", "hot": "hot", "in process": "memory"}[tier]
    others = {name: count for name, count in core.cache_counts.hits.items() if name != expected}
    if sum(others.values()) > STEPS + 13:  # the lookups of the first runs
        raise RuntimeError(f"the {tier} tier was to answer, but {others} did")


async def _times(core: Core, worker: Worker, name: str, repeat: int) -> list[float]:
    """Run a workflow once to fill the cache, and return how long each further run took, in seconds."""
    times = []
    for _ in range(repeat + 2):
        await projected(core)
        started = time.perf_counter()
        await core.commands.trigger(CALLER, Wanted(name, payload={"seed": 1, "leaf": 0}))
        await finished(worker)
        times.append(time.perf_counter() - started)
    return times[2:]
