"""Skills that block the event loop or will not be stopped: they delay their own worker, and every process ends."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.world.programs import Program, Site, completed, started

SKILLS = """
import asyncio, re, time
from orchestrator import skill

@skill("stall.block")
async def block(given: dict, ctx) -> dict:
    if ctx.attempt <= given["times"]:
        time.sleep(given["seconds"])
    return {}

@skill("stall.refuse")
async def refuse(given: dict, ctx) -> dict:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@skill("stall.quick")
async def quick(given: dict) -> dict:
    return {}
"""


def workflow(name: str, **given: str) -> dict[str, Any]:
    steps = {
        "stepId": "one", "skillId": f"stall.{name}", "input": given or None, "cachePolicy": {"enabled": False},
    }  # fmt: skip
    return {"workflowName": f"stall.{name}", "version": "1", "steps": [steps]}


WORKFLOWS = [workflow("block", seconds="trigger.seconds", times="trigger.times"), workflow("refuse"), workflow("quick")]


@pytest.fixture
def env(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(tmp_path / "data"),
        "ORCHESTRATOR_LEASE_SECONDS": "2",
        "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.4",
        "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS": "1",
    }


class Plant:
    """An API, and workers on its database."""

    def __init__(self, stack: ExitStack, env: dict[str, str], folder: Path) -> None:
        self._stack = stack
        self._env = env
        self._skills = folder / "skills.py"
        self._skills.write_text(SKILLS)
        files = []
        for document in WORKFLOWS:
            files.append(folder / f"{document['workflowName']}.yaml")
            files[-1].write_text(json.dumps(document))
        words = [word for file in files for word in ("--workflows", file)]
        api = stack.enter_context(Program("api", "--port", "0", *words, env=env))
        self.site = stack.enter_context(Site(api.ready()))

    def worker(self, **more: str) -> Program:
        program = self._stack.enter_context(Program("worker", "--skills", self._skills, env={**self._env, **more}))
        program.ready()
        return program

    def running(self, run_id: str) -> None:
        """Wait until the run's step was started."""
        eventually(lambda: started(self.site.events(run_id)), what="a step has started")


@pytest.fixture
def plant(env: dict[str, str], tmp_path: Path) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(stack, env, tmp_path)


def test_a_coroutine_that_blocks_the_loop_beyond_the_lease_delays_only_its_own_worker(plant: Plant) -> None:
    """Nobody takes its run over, others work meanwhile, and the log says where it blocks."""
    first = plant.worker()
    run_id = plant.site.trigger("stall.block", {"seconds": 6, "times": 1})
    plant.running(run_id)
    plant.worker()
    others = [plant.site.trigger("stall.quick", {}) for _ in range(3)]
    assert all(plant.site.ended(other)["status"] == "completed" for other in others)
    assert plant.site.get(f"/runs/{run_id}")["status"] == "running", "the others did not wait for it"
    assert plant.site.ended(run_id)["status"] == "completed"
    assert started(plant.site.events(run_id)) == {"one": 1}
    blocked = next(line for line in first.log if line["message"] == "event loop blocked")
    assert "in block" in blocked["stack"]


def test_one_that_blocks_for_too_long_ends_its_worker_and_counts_as_a_lost_attempt(plant: Plant) -> None:
    first = plant.worker(ORCHESTRATOR_STALL_SECONDS="2")
    run_id = plant.site.trigger("stall.block", {"seconds": 3600, "times": 1})
    plant.running(run_id)
    plant.worker(ORCHESTRATOR_STALL_SECONDS="2")
    assert first.wait() == 70
    assert plant.site.ended(run_id)["status"] == "completed"
    events = plant.site.events(run_id)
    assert started(events) == {"one": 2}
    assert completed(events) == ["one"]
    assert any("ending" in line["message"] and "in block" in line["stack"] for line in first.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_coroutine_that_swallows_cancellation_does_not_keep_its_process(plant: Plant, number: signal.Signals) -> None:
    first = plant.worker()
    run_id = plant.site.trigger("stall.refuse", {})
    plant.running(run_id)
    asked = time.monotonic()
    first.process.send_signal(number)
    first.wait()
    assert time.monotonic() - asked < 60, "it ends by itself, whatever it takes"
    assert "Traceback" not in first.err
    owner = plant.worker()
    eventually(lambda: started(plant.site.events(run_id)) == {"one": 2}, shows=lambda: owner.err)


def test_a_cancelled_run_whose_coroutine_swallows_it_holds_up_no_other(plant: Plant) -> None:
    worker = plant.worker(ORCHESTRATOR_MAX_RUNS="1")
    run_id = plant.site.trigger("stall.refuse", {})
    plant.running(run_id)
    plant.site.cancel(run_id)
    assert plant.site.ended(run_id)["status"] == "cancelled"
    assert plant.site.ended(plant.site.trigger("stall.quick", {}))["status"] == "completed"
    eventually(lambda: any(line["message"] == "step ignores cancellation, abandoned" for line in worker.log))
