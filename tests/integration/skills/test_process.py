"""Calls in a real process pool: everything travels, and SIGTERM ends the attempt only."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from orchestrator.artifacts import ArtifactStore
from orchestrator.domain.output import Output, StepError
from orchestrator.skills import SkillCall, perform_in_process, to_step_error
from tests.waiting import eventually

SKILLS = """
import os, time
from orchestrator.skills import SkillError, skill

@skill("test.make")
def make(value, ctx):
    made = ctx.artifact(str(value).encode(), "text/plain", "value.txt")
    return {"value": value, "pid": os.getpid(), "hash": made.content_hash}

@skill("test.fail")
async def fail():
    raise SkillError("QUOTA", "none", retryable=False, details={"left": 0}, retry_after_ms=5)

@skill("test.slow")
def slow(path, ctx):
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\\n")
    ctx.wait(60)
    with open(path + ".asked", "w") as file:
        file.write(str(ctx.cancelled))

@skill("test.die")
def die():
    os._exit(9)
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "skills.py").write_text(SKILLS)
    (tmp_path / "skills.yaml").write_text("skills: [{skillId: test.cat, kind: command, command: [cat]}]")
    return str(tmp_path / "skills.py")


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


class Asked:
    """A pool, skills and a store, put together."""

    def __init__(self, pool: ProcessPoolExecutor, source: str) -> None:
        self.pool = pool
        self.sources = (source, source.replace(".py", ".yaml"))
        self.store = ArtifactStore(str(Path(source).parent / "store"))

    def submit(
        self, skill_id: str, value: object = None, timeout_ms: int | None = None
    ) -> "Future[Output | StepError]":
        call = SkillCall("run", "step", 1, "acme", skill_id, value, timeout_ms)
        return self.pool.submit(perform_in_process, self.sources, call, partial(ArtifactStore, self.store.url))


@pytest.fixture
def asked(pool: ProcessPoolExecutor, source: str) -> Asked:
    return Asked(pool, source)


def test_results_and_artifacts_come_back(asked: Asked) -> None:
    for number in range(3):
        output = asked.submit("test.make", number).result(60)
        assert isinstance(output, Output)
        assert output.data["value"] == number
        assert output.data["pid"] != os.getpid()
        assert asked.store.read(output.artifacts[0]) == str(number).encode()
        for file in asked.sources:  # they are read once
            Path(file).unlink(missing_ok=True)


def test_failures_come_back_as_values(asked: Asked) -> None:
    assert asked.submit("test.fail").result(60) == StepError("QUOTA", "none", {"left": 0}, False, 5)
    unknown = asked.submit("test.mak").result(60)
    assert isinstance(unknown, StepError)
    assert (unknown.code, unknown.retryable) == ("SKILL_NOT_FOUND", False)
    assert unknown.details["closeMatches"][0] == "test.make"


def test_sources_that_cannot_be_loaded_are_a_value_too(asked: Asked) -> None:
    asked.sources = ("/absent.py",)
    error = asked.submit("test.make").result(60)
    assert isinstance(error, StepError)
    assert (error.code, error.retryable) == ("VALIDATION_ERROR", False)


def test_commands_and_timeouts_work_there(asked: Asked, tmp_path: Path) -> None:
    assert asked.submit("test.cat", {"a": 1}).result(60) == Output({"a": 1})
    error = asked.submit("test.slow", str(tmp_path / "slow"), 200).result(60)
    assert isinstance(error, StepError)
    assert error.code == "SKILL_TIMEOUT"


def test_sigterm_cancels_the_attempt_and_spares_the_process(asked: Asked, tmp_path: Path) -> None:
    file = tmp_path / "slow"
    future = asked.submit("test.slow", str(file))
    eventually(lambda: file.exists() and file.read_text().endswith("\n"), 30, "the skill has begun")
    pid = int(file.read_text())
    os.kill(pid, signal.SIGTERM)
    error = future.result(30)
    assert isinstance(error, StepError)
    assert error.code == "SKILL_CANCELLED"
    after = asked.submit("test.make", 1).result(30)
    assert isinstance(after, Output)
    assert after.data["pid"] == pid
    eventually(Path(f"{file}.asked").exists, 30, "the skill was asked to stop")


def test_death_of_the_process_is_told(asked: Asked) -> None:
    with pytest.raises(BrokenExecutor) as caught:
        asked.submit("test.die").result(60)
    error = to_step_error(caught.value)
    assert (error.code, error.retryable) == ("WORKER_LOST", True)
