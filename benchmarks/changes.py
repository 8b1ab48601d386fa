"""W6 and W7: graphs of 10,000 steps, and updates that affect one leaf; in one process, on the embedded Postgres."""

import asyncio
import resource
import time
from typing import Any

from benchmarks.folders import open_folder
from benchmarks.report import Report, median
from benchmarks.skills import noop
from orchestrator.application.caller import Caller
from orchestrator.application.commands import Accepted, Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.change import ChangeRequest
from orchestrator.settings import Settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workers.worker import Worker
from orchestrator.workflows.document import load_document

CALLER = Caller("default", "bench")
STEPS = 10_000


def layered(steps: int, name: str) -> dict[str, Any]:
    """Return a graph of layers of 100 steps; only the last step reads `trigger.leaf`."""
    return {
        "workflowName": name,
        "version": "1.0.0",
        "steps": [
            {
                "stepId": f"s{number}",
                "skillId": "bench.noop",
                "dependsOn": [f"s{number - 100}"] if number >= 100 else [],
                "input": {"seed": "trigger.leaf" if number == steps - 1 else "trigger.seed"},
                "cachePolicy": {"enabled": False},
            }
            for number in range(steps)
        ],
        "changeTypes": {"leaf": {"seeds": [f"s{steps - 1}"]}},
    }


def fan(steps: int, name: str) -> dict[str, Any]:
    """Return a graph of steps that all depend on the first."""
    document = layered(steps, name)
    for number, step in enumerate(document["steps"]):
        step["dependsOn"] = ["s0"] if number else []
    return document


def measure(report: Report, *, full: bool) -> None:
    """Measure large graphs and updates of them."""
    with open_folder() as folder:
        settings = Settings(data_dir=folder)
        with open_core(settings) as core, open_projector(core):
            asyncio.run(_measure(report, core, full=full))


async def _measure(report: Report, core: Core, *, full: bool) -> None:
    documents = [
        layered(1, "w6.1"),
        layered(100, "w6.100"),
        layered(STEPS, "w6.layered"),
        fan(STEPS, "w6.fan"),
    ]
    for document in documents:
        await core.workflows.register(load_document(document, "bench"), tenant="default", actor="bench")
    async with open_worker(core, SkillRegistry([noop])) as worker:
        repeat = 5 if full else 3
        one = [await _run(core, worker, "w6.1", seed) for seed in range(20)]
        hundred = [await _run(core, worker, "w6.100", seed) for seed in range(10)]
        layers = [await _run(core, worker, "w6.layered", seed) for seed in range(repeat)]
        wide = [await _run(core, worker, "w6.fan", seed) for seed in range(repeat)]
        per_step = median([seconds for seconds, _ in hundred]) / 100
        report.add("W6 100 steps in layers", "per step", per_step * 1000, "ms")
        for label, times in (("in layers", layers), ("in a fan", wide)):
            seconds = median([seconds for seconds, _ in times])
            report.add(f"W6 10,000 steps {label}", "one run", seconds, "s")
            report.add(
                f"W6 10,000 steps {label}", "per step, against 100", seconds / STEPS / per_step, "ratio", "< 1.5"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report.add("W6 10,000 steps", "peak memory", peak, "MB", "< 400")
        one_step = median([seconds for seconds, _ in one[5:]])
        await _updates(report, core, worker, layers[-1][1].run_id, one_step)


async def _updates(report: Report, core: Core, worker: Worker, base: str, one_step: float) -> None:
    """Update the leaf 50 times, each time based on the previous run."""
    times, events = [], []
    for number in range(50):
        await projected(core)
        before = core.log.last_position()
        started = time.perf_counter()
        accepted = await core.changes.update(CALLER, base, ChangeRequest("leaf", {"leaf": number}))
        await finished(worker)
        times.append(time.perf_counter() - started)
        events.append(core.log.last_position() - before)
        base = accepted.run_id
    report.add("W7 one leaf of 10,000 updated", "p50", median(times) * 1000, "ms")
    report.add("W7 one leaf of 10,000 updated", "against a one-step run", median(times) / one_step, "ratio", "< 3")
    report.add("W7 one leaf of 10,000 updated", "events written", max(events), "events", "< 20")
    chain = median(times[-10:]) / median(times[:10])
    report.add("W7 chain of 50 updates", "last ten against first ten", chain, "ratio", "about 1")


async def _run(core: Core, worker: Worker, name: str, seed: int) -> tuple[float, Accepted]:
    started = time.perf_counter()
    accepted = await core.commands.trigger(CALLER, Wanted(name, payload={"seed": seed, "leaf": 0}))
    await finished(worker)
    seconds = time.perf_counter() - started
    await projected(core)
    return seconds, accepted


async def finished(worker: Worker) -> None:
    while worker.driving == 0:
        await asyncio.sleep(0)
    while worker.driving:
        await asyncio.sleep(0.0002)


async def projected(core: Core) -> None:
    while core.reader.position() < core.log.last_position():
        await asyncio.sleep(0.005)
