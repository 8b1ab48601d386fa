"""`orchestrator step`: the remote entry as a real process, and its slots."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.clusters.contract import Record, Work, fence_hash
from orchestrator.clusters.entry import SLOTS, envelope, execute
from orchestrator.domain.output import Output
from tests.integration.clusters.attempts import SKILLS, TENANT, Attempts, other_version
from tests.waiting import eventually
from tests.world.programs import Done, call, command, environment

ENV = {"ORCHESTRATOR_SKILLS": str(SKILLS)}


def step(attempts: Attempts, work: Work, **changed: Any) -> Done:
    document = {**json.loads(envelope(work, attempts.store)), **changed}
    return call("step", env=ENV, given=json.dumps(document))


@pytest.fixture
def started(attempts: Attempts) -> Iterator[Any]:
    """Starts `orchestrator step` and returns its process; it is killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(work: Work) -> "subprocess.Popen[str]":
        file = attempts.folder / f"{work.name}.json"
        file.write_text(envelope(work, attempts.store))
        words = command(["step", "--file", file])
        running.append(subprocess.Popen(words, env=environment(ENV), stdout=subprocess.PIPE, text=True))
        eventually(lambda: attempts.executions(work), what="the skill has begun")
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_the_output_is_in_the_record(attempts: Attempts) -> None:
    work = attempts.work("add", a=1, b=2)
    done = step(attempts, work)
    assert (done.code, done.document) == (0, {"name": work.name, "reason": None, "code": None}), done.err
    assert attempts.output(work).data["sum"] == 3
    assert "printed by the skill" in done.err


def test_a_failure_is_in_the_record(attempts: Attempts) -> None:
    work = attempts.work("fail")
    assert step(attempts, work).code == 0
    assert attempts.error(work).message == "ValueError: the skill failed"


def test_artifacts_and_large_data_are_in_the_store(attempts: Attempts) -> None:
    work = attempts.work("make", size=20_000)
    step(attempts, work)
    output = attempts.output(work)
    assert output.data is None
    assert len(attempts.store.load_data(output, TENANT)["large"]) == 20_000
    assert attempts.store.read(output.artifacts[0], TENANT) == b"made far away"


def test_a_record_that_is_there_is_returned_and_nothing_is_executed(attempts: Attempts) -> None:
    work = attempts.work("add", a=1, b=2)
    attempts.records.write(TENANT, work.name, fence_hash(work.fence), Record(Output("there"), 1.0))
    assert step(attempts, work).document["reason"] is None
    assert attempts.output(work).data == "there"
    assert attempts.executions(work) == []


def test_an_attempt_executes_once_for_a_fence(attempts: Attempts, started: Any) -> None:
    work = attempts.work("hang")
    started(work)
    done = step(attempts, work)
    assert done.code == 1
    assert "has begun before" in done.document["reason"]
    assert len(attempts.executions(work)) == 1


@pytest.mark.parametrize("name", ["python", "orchestrator"])
def test_other_versions_are_a_mismatch(attempts: Attempts, name: str) -> None:
    work = attempts.work("add", a=1, b=2)
    done = step(attempts, work, **{name: "1.0"})
    assert (done.code, done.document["code"]) == (1, "EXECUTOR_MISMATCH")
    assert f"{name} 1.0 is needed" in done.document["reason"]
    assert (attempts.executions(work), attempts.record(work)) == ([], None)


def test_another_version_of_the_skill_is_a_mismatch(attempts: Attempts) -> None:
    work = other_version(attempts.work("add", a=1, b=2))
    done = step(attempts, work)
    assert done.document["code"] == "EXECUTOR_MISMATCH"
    assert done.document["reason"].startswith("far.add@9.9.9 is needed, but the executor has far.add@1.0.0")
    assert attempts.executions(work) == []


def test_skills_that_cannot_be_loaded_are_a_mismatch(attempts: Attempts) -> None:
    given = envelope(attempts.work("add", a=1, b=2), attempts.store)
    done = call("step", env={"ORCHESTRATOR_SKILLS": "no.such.module"}, given=given)
    assert done.document["code"] == "EXECUTOR_MISMATCH"
    assert "no.such.module" in done.document["reason"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "not JSON"),
        ("[]", "`work` must be an object"),
        ('{"work": {}, "store": {}}', "`store` must have `url`"),
        ('{"work": {"call": {}, "v": 1}, "store": {"url": "/x", "spillBytes": 1}}', "`name` must be a text"),
        ('{"work": {"call": {}, "v": 7}, "store": {"url": "/x", "spillBytes": 1}}', "`v` of the work is 7"),
    ],
)
def test_what_is_no_attempt_is_refused(given: str, message: str) -> None:
    done = call("step", env=ENV, given=given)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_sigterm_asks_the_skill_to_stop(attempts: Attempts, started: Any) -> None:
    work = attempts.work("hang")
    process = started(work)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert attempts.error(work).code == "SKILL_CANCELLED"


def test_a_stop_in_the_store_stops_the_skill(attempts: Attempts, started: Any) -> None:
    work = attempts.work("hang")
    process = started(work)
    attempts.records.ask(TENANT, work.name, kill=False)
    process.wait(20)
    assert attempts.error(work).code == "SKILL_CANCELLED"


def test_a_kill_ends_the_skill_and_what_it_started(attempts: Attempts, started: Any) -> None:
    work = attempts.work("deaf")
    process = started(work)
    child = eventually(lambda: child_of(work), what="the skill has started a process")
    attempts.records.ask(TENANT, work.name, kill=True)
    process.wait(20)
    assert attempts.error(work).message == "the attempt was killed"
    assert not psutil.pid_exists(child)


def test_a_skill_that_ignores_its_time_limit_is_killed(attempts: Attempts) -> None:
    work = attempts.work("deaf", timeout_ms=100)
    assert step(attempts, work).code == 0
    assert attempts.error(work).code == "SKILL_TIMEOUT"
    assert not psutil.pid_exists(attempts.executions(work)[0])


def test_a_killed_child_is_a_lost_attempt(attempts: Attempts, started: Any) -> None:
    work = attempts.work("deaf")
    process = started(work)
    os.kill(attempts.executions(work)[0], signal.SIGKILL)
    process.wait(20)
    assert attempts.error(work).code == "WORKER_LOST"
    assert "killed by SIGKILL" in attempts.error(work).message


def test_nothing_outlives_the_entry(attempts: Attempts, started: Any) -> None:
    work = attempts.work("deaf")
    process = started(work)
    child = eventually(lambda: child_of(work), what="the skill has started a process")
    process.kill()
    for pid in (attempts.executions(work)[0], child):
        eventually(lambda pid=pid: not psutil.pid_exists(pid), what="the skill has ended with its parent")
    assert attempts.record(work) is None


def test_slots_are_reused(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SKILLS", str(SKILLS))
    pids = set()
    for number in range(3):
        work = attempts.work("add", a=number, b=1)
        execute(envelope(work, attempts.store))
        pids.add(attempts.output(work).data["pid"])
    assert len(pids) == 1
    assert os.getpid() not in pids
    failed = attempts.work("fail")
    execute(envelope(failed, attempts.store))
    assert set(attempts.executions(failed)) == pids
    SLOTS.close()
    assert not psutil.pid_exists(pids.pop())


def child_of(work: Work) -> int | None:
    path = Path(f"{work.call.input['file']}.child")
    return int(path.read_text()) if path.exists() and path.read_text() else None
