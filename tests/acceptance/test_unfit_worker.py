"""A worker that lacks what every attempt needs: it claims no more, fails no step for that, and goes on when it can."""

import json
import resource
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call

FILES = 130


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    temporary = home / "temporary"
    temporary.mkdir()
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_THREADS": "1",
        "TMPDIR": str(temporary),
    }


@pytest.fixture
def skills(home: Path, env: dict[str, str]) -> list[str | Path]:
    """Register a workflow for each skill: one step, one attempt. Return the options that name the skills."""
    (home / "skills.json").write_text(
        '{"skills": [{"skillId": "hoard.program", "kind": "command", "command": ["true"]}]}'
    )
    for skill in ("hoard.files", "hoard.reads", "hoard.program"):
        step = {"stepId": "only", "skillId": skill, "input": {"release": "trigger.release"}}
        step["cachePolicy"] = {"enabled": False}
        file = home / f"{skill}.workflow.json"
        file.write_text(json.dumps({"workflowName": skill, "version": "1", "steps": [step]}))
    assert call("workflows", "register", *home.glob("*.workflow.json"), env=env).code == 0
    return ["--skills", FIXTURES / "hoarder.py", "--skills", home / "skills.json"]


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def trigger(skill: str, home: Path, env: dict[str, str]) -> str:
    payload = json.dumps({"release": str(home / "release")})
    return call("trigger", skill, "--payload", payload, env=env).out.strip()


def completed(run_id: str, env: dict[str, str]) -> list[str]:
    """Wait until a run has completed, and return the types of its events."""
    document = call("status", run_id, "--watch", "--json", env=env).document
    assert document["status"] == "completed", document
    events: list[dict[str, Any]] = call("history", run_id, "--json", env=env).document["events"]
    return [event["type"] for event in events]


def says(worker: Program, words: str) -> None:
    eventually(lambda: any(words in line.get("message", "") for line in worker.log), shows=lambda: worker.err)


@pytest.mark.parametrize("skill", ["hoard.program", "hoard.reads"])
def test_a_worker_without_files_leaves_runs_to_others(
    env: dict[str, str], home: Path, programs: ExitStack, skills: list[str | Path], skill: str
) -> None:
    sick = programs.enter_context(Program("worker", *skills, env=env, prepare=few_files))
    completed(trigger("hoard.files", home, env), env)

    run_id = trigger(skill, home, env)
    says(sick, "worker cannot execute steps and stops claiming runs: cannot open files")
    assert call("status", run_id, "--json", env=env).document["status"] in ("queued", "running")
    healthy = programs.enter_context(Program("worker", *skills, env=env))
    events = completed(run_id, env)
    assert "StepFailed" not in events
    assert events.count("RunRecovered") == 1
    assert healthy.stop() == 0

    later = trigger(skill, home, env)
    (home / "release").touch()
    events = completed(later, env)
    assert "StepFailed" not in events
    says(sick, "worker can execute steps again")


def test_a_worker_without_a_place_for_temporary_files_waits_for_it(
    env: dict[str, str], home: Path, programs: ExitStack, skills: list[str | Path]
) -> None:
    worker = programs.enter_context(Program("worker", *skills, env=env))
    completed(trigger("hoard.program", home, env), env)
    shutil.rmtree(env["TMPDIR"])

    run_id = trigger("hoard.program", home, env)
    says(worker, "worker cannot execute steps and stops claiming runs: cannot write to")
    Path(env["TMPDIR"]).mkdir()

    events = completed(run_id, env)
    assert "StepFailed" not in events
    assert events.count("RunRecovered") == 1


def test_a_child_process_without_files_is_replaced(
    env: dict[str, str], home: Path, programs: ExitStack, skills: list[str | Path]
) -> None:
    env |= {"ORCHESTRATOR_EXECUTOR": "process"}
    worker = programs.enter_context(Program("worker", *skills, env=env, prepare=few_files))
    completed(trigger("hoard.files", home, env), env)

    events = completed(trigger("hoard.reads", home, env), env)

    assert "StepFailed" not in events
    assert events.count("RunRecovered") == 1
    assert not any("stops claiming runs" in line.get("message", "") for line in worker.log)
