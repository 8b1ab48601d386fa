"""W14: steps on Dask and Ray through our adapters, beside the same sleeps submitted to the engines directly."""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.dask_engine import DaskEngine
from benchmarks.ray_engine import NoNamespace, RayEngine, own_network
from benchmarks.report import Report
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.clusters.contract import Cluster, Work, attempt_name, fence_hash, new_fence
from orchestrator.clusters.dask import DaskCluster
from orchestrator.clusters.ray import RayCluster
from orchestrator.skills.call import SkillCall

LABEL = "W14 1,000 steps of 100 ms on a cluster"
STEPS, SLEEP_SECONDS, SLOTS, ROUNDS = 1_000, 0.1, 8, 3

SKILLS = """
import time
from orchestrator.skills import skill


@skill("bench.sleep", version="1.0.0")
def sleep(given):
    time.sleep(given["seconds"])
    return {}
"""


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Measure both engines, ours and the engine alone in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench_far.py").write_text(SKILLS)
        with DaskEngine(folder, str(folder / "bench_far.py"), threads=SLOTS) as dask:
            _compare(
                report, "Dask", folder, lambda store: DaskCluster(dask.url, store), lambda: _alone("dask", dask.url)
            )
        if find_spec("ray") is None:
            report.miss("steps on Ray", "Ray is not installed: make install-ray")
            return
        try:
            with own_network(), RayEngine(str(folder / "bench_far.py"), cpus=SLOTS) as ray:
                _compare(
                    report, "Ray", folder, lambda store: RayCluster(ray.url, store), lambda: _alone("ray", ray.url)
                )
        except NoNamespace as error:
            report.miss("steps on Ray", str(error))


def _compare(
    report: Report, engine: str, folder: Path, opened: Callable[[ArtifactStore], Cluster], alone: Callable[[], float]
) -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(asyncio.run(_ours(folder, opened)))
        theirs.append(alone())
    mine, other = statistics.median(ours), statistics.median(theirs)
    report.add(LABEL, f"on {engine}", mine, "s", note=f"{SLOTS} slots")
    report.add(LABEL, f"on {engine}", other, "s", of=f"{engine} alone")
    report.add(LABEL, f"on {engine}, ours / {engine} alone", mine / other, "x", "< 1.3")


async def _ours(folder: Path, opened: Callable[[ArtifactStore], Cluster]) -> float:
    store = ArtifactStore(str(folder / "artifacts"))
    cluster = opened(store)
    try:
        await _all(cluster, SLOTS * 4)  # starts the slots, as the engines have started their workers
        began = time.monotonic()
        await _all(cluster, STEPS)
        return time.monotonic() - began
    finally:
        await cluster.close()


async def _all(cluster: Cluster, number: int) -> None:
    works = {work.name: work for work in (_work(index) for index in range(number))}
    submitting = asyncio.gather(*(cluster.submit(work) for work in works.values()))
    async for name, _ in cluster.outcomes():
        work = works.pop(name)
        if await cluster.record(work.call.tenant, name, fence_hash(work.fence)) is None:
            raise RuntimeError(f"attempt {name} has no record")
        if not works:
            break
    await submitting


def _work(number: int) -> Work:
    call = SkillCall("bench", f"s{number}", 1, "default", "bench.sleep", {"seconds": SLEEP_SECONDS})
    fence = new_fence()
    return Work(attempt_name(f"bench {fence}", call.step_id, 1), fence, call, "bench.sleep@1.0.0")


def _alone(engine: str, url: str) -> float:
    """Return the seconds that the engine alone takes, from a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.clusters", engine, url], check=True, capture_output=True, text=True
    )
    return float(json.loads(ended.stdout.splitlines()[-1]))


def _dask_alone(url: str) -> float:
    distributed: Any = import_module("distributed")
    with distributed.Client(url.removeprefix("dask+")) as client:
        client.gather([client.submit(time.sleep, 0.0, pure=False) for _ in range(SLOTS * 4)])
        began = time.monotonic()
        client.gather([client.submit(time.sleep, SLEEP_SECONDS, pure=False) for _ in range(STEPS)])
        return time.monotonic() - began


def _ray_alone(url: str) -> float:
    ray: Any = import_module("ray")
    ray.init(url, logging_level="error", log_to_driver=False)
    sleep = ray.remote(time.sleep).options(max_retries=0)
    ray.get([sleep.remote(0.0) for _ in range(SLOTS * 4)])
    began = time.monotonic()
    ray.get([sleep.remote(SLEEP_SECONDS) for _ in range(STEPS)])
    return time.monotonic() - began


if __name__ == "__main__":
    print(json.dumps({"dask": _dask_alone, "ray": _ray_alone}[sys.argv[1]](sys.argv[2])))
