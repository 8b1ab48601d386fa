"""Pull workers as their operators start them: a server, an owner of runs, and machines that pull; each is killed."""

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call

LEASE_SECONDS = 2.0


@dataclass
class Far:
    """A server with authentication, a pool, and what happened to its steps."""

    env: dict[str, str]
    home: Path
    programs: ExitStack
    server: Program
    address: str
    key: str

    def owner(self) -> Program:
        """A worker that owns runs and has no skills."""
        program = self.programs.enter_context(Program("worker", env=self.env))
        program.ready()
        return program

    def puller(self, *options: str, key: str | None = None) -> Program:
        env = {"ORCHESTRATOR_KEY": key or self.key, "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS": "0.2"}
        words = ("--server", self.address, "--pool", "far", "--skills", FIXTURES / "distant.py", *options)
        return self.programs.enter_context(Program("pull-worker", *words, env=env))

    def trigger(self, name: str = "far") -> str:
        payload = json.dumps({"file": str(self.home / "lines"), "gate": str(self.home / "gate")})
        return call("trigger", name, "--payload", payload, env=self.env).out.strip()

    def lines(self) -> list[list[str]]:
        file = self.home / "lines"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def began(self, count: int) -> list[str]:
        """Wait until so many attempts have begun, and return the pids of their machines."""

        def pids() -> list[str]:
            return [pid for word, _, pid in self.lines() if word == "began"]

        eventually(lambda: len(pids()) >= count, 60, f"{count} attempts began")
        return pids()

    def open_gate(self) -> None:
        (self.home / "gate").touch()

    def status(self, run_id: str) -> dict[str, Any]:
        document: dict[str, Any] = call("status", run_id, "--json", env=self.env).document
        return document

    def ended(self, run_id: str) -> dict[str, Any]:
        document: dict[str, Any] = call("status", run_id, "--watch", "--json", env=self.env).document
        return document

    def events(self, run_id: str) -> list[str]:
        document = call("history", run_id, "--json", env=self.env).document
        return [event["type"] for event in document["events"]]


@pytest.fixture
def far(database_url: str, home: Path, programs: ExitStack) -> Far:
    env = {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_EXECUTORS": "far=pull",
        "ORCHESTRATOR_LEASE_SECONDS": str(LEASE_SECONDS),
        "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.2",
    }
    for name, requires in (("far", []), ("labelled", ["gpu"])):
        step = {"stepId": "only", "skillId": "distant.work", "executor": "far", "requires": requires}
        step |= {"input": {"file": "trigger.file", "gate": "trigger.gate"}, "cachePolicy": {"enabled": False}}
        file = home / f"{name}.json"
        file.write_text(json.dumps({"workflowName": name, "version": "1", "steps": [step]}))
        assert call("workflows", "register", file, env=env).code == 0
    key = call("keys", "create", "machine", "--role", "executor", "--pool", "far", env=env).out.strip()
    server = programs.enter_context(Program("api", "--port", "0", env={**env, "ORCHESTRATOR_AUTH": "keys"}))
    return Far(env, home, programs, server, server.ready(), key)


def test_two_machines_share_the_work_of_a_pool(far: Far) -> None:
    far.owner()
    pullers = [far.puller("--slots", "1") for _ in range(2)]
    pids = {str(puller.process.pid) for puller in pullers}
    for puller in pullers:
        puller.ready()
    runs = [far.trigger(), far.trigger()]
    assert {*far.began(2)} == pids, "each has one slot"
    far.open_gate()
    for run_id in runs:
        assert far.ended(run_id)["status"] == "completed"
    assert len(far.lines()) == 2
    assert [puller.stop() for puller in pullers] == [0, 0]


def test_a_machine_is_killed_and_another_one_starts_its_step_again(far: Far) -> None:
    far.owner()
    first = far.puller()
    run_id = far.trigger()
    far.began(1)
    first.kill()
    second = far.puller()
    assert far.began(2)[1] == str(second.process.pid)
    far.open_gate()
    assert far.ended(run_id)["status"] == "completed"
    assert "StepLost" in far.events(run_id)
    assert far.events(run_id).count("StepCompleted") == 1


def test_the_owner_is_killed_and_the_next_adopts_what_is_executing(far: Far) -> None:
    owner = far.owner()
    far.puller()
    run_id = far.trigger()
    far.began(1)
    owner.kill()
    far.owner()
    eventually(lambda: "RunRecovered" in far.events(run_id), 60, "the run has a new owner")
    far.open_gate()
    assert far.ended(run_id)["status"] == "completed"
    assert len(far.lines()) == 1, "it was executed once"
    assert "StepLost" not in far.events(run_id)


def test_a_result_while_nobody_owns_the_run_is_kept(far: Far) -> None:
    owner = far.owner()
    puller = far.puller()
    run_id = far.trigger()
    far.began(1)
    owner.kill()
    far.open_gate()
    eventually(lambda: "result reported" in puller.err, 60, "the machine has reported")
    assert far.status(run_id)["status"] == "running"
    far.owner()
    assert far.ended(run_id)["status"] == "completed"
    assert len(far.lines()) == 1, "it was executed once"


def test_a_cancelled_run_stops_its_machine_within_two_seconds(far: Far) -> None:
    far.owner()
    far.puller()
    run_id = far.trigger()
    far.began(1)
    assert call("cancel", run_id, env=far.env).code == 0
    began = time.monotonic()
    eventually(lambda: any(word == "cancelled" for word, *_ in far.lines()), 10, "the skill was cancelled")
    assert time.monotonic() - began < 2.0


def test_a_machine_that_stops_gives_its_step_up_at_once(far: Far) -> None:
    far.owner()
    first = far.puller()
    run_id = far.trigger()
    far.began(1)
    assert first.stop() == 0
    far.puller()
    far.began(2)
    far.open_gate()
    assert far.ended(run_id)["status"] == "completed"


def test_a_label_that_no_machine_has_blocks_until_one_comes(far: Far) -> None:
    far.owner()
    far.puller().ready()
    far.open_gate()
    run_id = far.trigger("labelled")
    eventually(lambda: far.status(run_id)["status"] == "blocked", 60, "the run is blocked")
    assert "no worker has the label gpu" in json.dumps(far.status(run_id))
    labelled = far.puller("--label", "gpu")
    assert far.ended(run_id)["status"] == "completed"
    assert far.lines()[-1][2] == str(labelled.process.pid)


def test_a_result_waits_for_a_server_that_was_killed(far: Far) -> None:
    far.owner()
    puller = far.puller()
    run_id = far.trigger()
    far.began(1)
    far.server.kill()
    far.open_gate()
    eventually(lambda: "server cannot be reached" in puller.err, 60, "the machine cannot report")
    words = ("api", "--port", far.address.rpartition(":")[2])
    far.programs.enter_context(Program(*words, env={**far.env, "ORCHESTRATOR_AUTH": "keys"})).ready()
    assert far.ended(run_id)["status"] == "completed"
    assert far.events(run_id).count("StepCompleted") == 1


def test_a_wrong_key_ends_the_worker_with_one_line(far: Far) -> None:
    puller = far.puller(key="ork_aaaaaaaa_" + "0" * 64)
    assert puller.wait() != 0
    assert "The server refuses this worker" in puller.err
    assert "Traceback" not in puller.err
