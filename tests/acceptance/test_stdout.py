"""Stdout holds a verb's answer and nothing else, whatever skills, their children and C code write there."""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call

NOISY = FIXTURES / "noisy.yaml"
SKILLS = ("--skills", FIXTURES / "noisy.py")
LOUD = ("at import", "of print", "without a newline", "on the descriptor", "of a child", "of C", "on the loop")


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_run_in_json_is_one_document(executor: str, env: dict[str, str]) -> None:
    done = call("run", NOISY, *SKILLS, "--json", env={**env, "ORCHESTRATOR_EXECUTOR": executor})

    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    assert [noise for noise in LOUD if noise not in done.err] == []


def test_a_run_for_people_is_its_answer_alone(env: dict[str, str]) -> None:
    done = call("run", NOISY, *SKILLS, env=env)

    assert done.code == 0, done.err
    assert done.out.startswith("run ")
    assert "noise" not in done.out
    assert "noise of C" in done.err


def test_a_check_that_imports_skills_is_one_document() -> None:
    done = call("workflows", "validate", NOISY, *SKILLS, "--json")

    assert done.code == 0, done.err
    assert done.document["files"][0]["valid"] is True
    assert "noise at import" in done.err


def test_a_worker_says_that_it_is_ready_and_nothing_more(env: dict[str, str], programs: ExitStack) -> None:
    worker = programs.enter_context(Program("worker", "--projector", *SKILLS, env=env))
    worker.ready()
    assert call("workflows", "register", NOISY, env=env).code == 0
    run_id = call("trigger", "noisy.v1", "--json", env=env).document["runId"]
    look = partial(call, "status", run_id, "--json", env=env)
    eventually(lambda: look().document, what="it is completed", right=lambda run: run["status"] == "completed")
    eventually(lambda: "noise on the loop" in call("logs", run_id, env=env).out)

    assert [line for line in worker.out.splitlines() if not line.startswith("ready ")] == []


def test_events_go_to_stdout_as_they_are_stored(env: dict[str, str]) -> None:
    assert call("run", NOISY, *SKILLS, env=env).code == 0
    lines = call("audit", "export", env=env).out.splitlines()

    assert len([json.loads(line) for line in lines]) == len(lines) > 5


def test_help_and_completion_are_answers_too() -> None:
    assert "--skills" in call("run", "--help").out
    assert call("--version").out == call("version").out
    assert call("--show-completion", "bash").out.startswith("_orchestrator_completion()")
    words = {"COMP_WORDS": "orchestrator workflows val", "COMP_CWORD": "2"}
    assert call(env={**words, "_ORCHESTRATOR_COMPLETE": "complete_bash"}).out.split() == ["validate"]
