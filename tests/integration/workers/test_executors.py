"""One suite for every executor: results, failures, and skills that are told to stop when their run is cancelled."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bootstrap.working import load_skills, open_worker
from orchestrator.domain.workflow import RetryPolicy
from orchestrator.workers.process_identity import has_ended
from tests.waiting import until
from tests.world.core import CALLER, World, open_world
from tests.world.workflows import ONCE, step, workflow

SKILLS = """
import asyncio, os, time
from pathlib import Path
from orchestrator import SkillError, skill
from orchestrator.workers.process_identity import own_identity

def begin(given):
    draft = Path(given["folder"], "draft")
    draft.write_text(own_identity())
    draft.rename(Path(given["folder"], "begun"))

def stopped(given):
    Path(given["folder"], "stopped").touch()

@skill("x.make")
def make(given, ctx):
    ctx.artifact(b"made", "text/plain", "made.txt")
    return {"length": len(given["text"]), "attempt": ctx.attempt, "text": given["text"]}

@skill("x.sees")
def sees(given):
    return {"seen": repr(given).replace("'", "").replace(" ", "")}

@skill("x.sees_on_the_loop")
async def sees_on_the_loop(given):
    return sees(given)

@skill("x.fails_to_see")
def fails_to_see(given, ctx):
    if ctx.attempt == 1:
        raise SkillError("NOT_NOW", "come back")
    return sees(given)

@skill("x.fail")
async def fail(given, ctx):
    raise SkillError("NOT_NOW", "come back", retryable=ctx.attempt < 2, details={"attempt": ctx.attempt})

@skill("x.async")
async def wait_on_the_loop(given, ctx):
    begin(given)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        stopped(given)
        raise

@skill("x.thread")
def wait_in_a_thread(given, ctx):
    begin(given)
    while not ctx.cancelled:
        time.sleep(0.01)
    time.sleep(0.3)  # it has to tidy up
    stopped(given)

@skill("x.stubborn")
def will_not_stop(given, ctx):
    begin(given)
    while True:
        time.sleep(0.01)

@skill("x.dies_once")
def dies_once(given, ctx):
    if ctx.attempt == 1:
        os._exit(9)
    return {"attempt": ctx.attempt}
"""
COMMAND = """
skills:
- {skillId: x.command, kind: command, command: ['{folder}/waits.sh']}
- {skillId: x.sees_as_a_program, kind: command, command: ['{folder}/sees.sh']}
"""
SEES = """#!/bin/sh
printf '{"seen": "%s"}' "$(tr -d '" ')"
"""
WAITS = r"""#!/bin/sh
cd "$(sed 's/.*"folder":"\([^"]*\)".*/\1/')" || exit 2
trap 'touch stopped; exit 1' TERM
touch begun
sleep 60 &
wait
"""


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(database_url: str, tmp_path: Path, executor: str) -> Iterator[World]:
    (tmp_path / "skills.py").write_text(SKILLS)
    (tmp_path / "skills.yaml").write_text(COMMAND)
    for name, program in (("waits.sh", WAITS), ("sees.sh", SEES)):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    skills = (str(tmp_path / "skills.py"), str(tmp_path / "skills.yaml"))
    with open_world(database_url, tmp_path, executor=executor, skills=skills, shutdown_grace_seconds=6.0) as opened:
        yield opened


@asynccontextmanager
async def at_work(world: World) -> AsyncIterator[None]:
    async with open_worker(world.core, load_skills(world.core.settings)):
        yield


async def one_step(world: World, skill: str, folder: Path, retry: RetryPolicy = ONCE, **payload: Any) -> str:
    """Trigger a run of one step that calls a skill."""
    selectors = {name: f"trigger.{name}" for name in ("folder", *payload)}
    await world.register(workflow(skill, step("a", skill_id=skill, retry=retry, **selectors)))
    return await world.trigger(skill, folder=str(folder), **payload)


async def test_a_result_and_its_artifacts_come_back(world: World, tmp_path: Path) -> None:
    text = "long " * 100_000
    async with at_work(world):
        run = await world.finished(await one_step(world, "x.make", tmp_path, text=text))
    output = run.step("a").output
    assert output is not None
    data = output.data if output.data_ref is None else world.core.store.load_data(output)
    assert data == {"length": len(text), "attempt": 1, "text": text}
    assert [artifact.filename for artifact in output.artifacts] == ["made.txt"]


ALIKE = ({"z": 1, "a": [0, 100]}, {"a": [-0.0, 1e2], "z": 1.0}, {"a": [0.0, 100.0], "z": 1})


@pytest.mark.parametrize("skill", ["x.sees", "x.sees_on_the_loop", "x.fails_to_see", "x.sees_as_a_program"])
async def test_inputs_of_one_key_look_the_same_to_every_skill(world: World, tmp_path: Path, skill: str) -> None:
    """`1` and `1.0` share one result in the cache, so no skill may tell them apart, whichever comes first."""
    again = RetryPolicy(max_attempts=2, backoff_ms=1)
    async with at_work(world):
        runs = [await world.finished(await one_step(world, skill, tmp_path, again, value=value)) for value in ALIKE]
    states = [run.step("a") for run in runs]
    assert len({state.input_hash for state in states}) == 1
    assert {state.output.data["seen"] for state in states if state.output} == {
        f"{{folder:{tmp_path},value:{{a:[0,100],z:1}}}}"
    }


async def test_what_a_skill_raises_decides_about_the_retry(world: World, tmp_path: Path) -> None:
    retry = RetryPolicy(max_attempts=5, backoff_ms=10)
    async with at_work(world):
        run = await world.finished(await one_step(world, "x.fail", tmp_path, retry))
    error = run.step("a").error
    assert (run.status, run.step("a").attempt) == ("failed", 2)
    assert error is not None
    assert (error.code, error.retryable, error.details) == ("NOT_NOW", False, {"attempt": 2})


@pytest.mark.parametrize("skill", ["x.async", "x.thread", "x.command"])
async def test_a_cancelled_run_stops_its_skill(world: World, tmp_path: Path, skill: str) -> None:
    """R3: async by cancellation, a thread by `ctx.cancelled`, a program by SIGTERM."""
    async with at_work(world):
        run_id = await one_step(world, skill, tmp_path)
        await until((tmp_path / "begun").exists)
        asked = time.monotonic()
        await world.core.commands.cancel(CALLER, run_id)
        assert (await world.folded(run_id)).status == "cancelled"
        assert time.monotonic() - asked < 5
        await until((tmp_path / "stopped").exists)


@pytest.mark.parametrize("executor", ["process"], indirect=True)
async def test_a_skill_that_will_not_stop_is_ended_with_its_process(world: World, tmp_path: Path) -> None:
    async with at_work(world):
        run_id = await one_step(world, "x.stubborn", tmp_path)
        await until((tmp_path / "begun").exists)
        await world.core.commands.cancel(CALLER, run_id)
        assert (await world.folded(run_id)).status == "cancelled"
        await until(lambda: has_ended((tmp_path / "begun").read_text()))
        run = await world.finished(await one_step(world, "x.make", tmp_path, text="another takes the place"))
        assert run.status == "completed"


@pytest.mark.parametrize("executor", ["process"], indirect=True)
async def test_a_skill_that_takes_its_process_along_is_tried_again(world: World, tmp_path: Path) -> None:
    retry = RetryPolicy(max_attempts=2, backoff_ms=10)
    async with at_work(world):
        run = await world.finished(await one_step(world, "x.dies_once", tmp_path, retry))
    assert run.status == "completed"
    assert [past.error.code for past in run.step("a").past if past.error] == ["WORKER_LOST"]


@pytest.mark.parametrize("executor", ["process"], indirect=True)
async def test_when_the_worker_is_killed_its_skills_end_too(world: World, database_url: str, tmp_path: Path) -> None:
    run_id = await one_step(world, "x.stubborn", tmp_path)
    variables = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_EXECUTOR": "process"}
    command = [sys.executable, "-m", "orchestrator", "worker", "--skills", str(tmp_path / "skills.py")]
    quiet, env = asyncio.subprocess.DEVNULL, {**os.environ, **variables}
    worker = await asyncio.create_subprocess_exec(*command, env=env, cwd=tmp_path, stdout=quiet)
    try:
        await until((tmp_path / "begun").exists)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: has_ended((tmp_path / "begun").read_text()))
    await world.core.commands.cancel(CALLER, run_id)
