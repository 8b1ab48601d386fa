"""Skills that raise what is no Exception, in the real program: their step fails, and nothing else does."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.world.programs import FIXTURES, Program, Site, call

WAYS = ("panic", "exit", "interrupt", "close", "cancel")


def definition(folder: Path, skill: str) -> Path:
    """Write a workflow of one step."""
    step = {"stepId": "only", "skillId": skill, "input": {"way": "trigger.way"}}
    file = folder / f"{skill}.json"
    file.write_text(json.dumps({"workflowName": skill, "version": "1", "steps": [step]}))
    return file


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_step_fails_and_the_program_goes_on(
    database_url: str, home: Path, programs: ExitStack, executor: str
) -> None:
    words: list[str | Path] = ["dev", "--port", "0", "--skills", FIXTURES / "unruly.py"]
    for skill in ("unruly.thread", "unruly.coroutine", "unruly.own_task", "unruly.leaves"):
        words += ["--workflows", definition(home, skill)]
    env = {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_EXECUTOR": executor,
        "ORCHESTRATOR_THREADS": "2",
    }
    program = programs.enter_context(Program(*words, env=env))
    site = programs.enter_context(Site(program.ready()))

    def error(run_id: str) -> Any:
        assert site.ended(run_id)["status"] == "failed"
        assert [event["type"] for event in site.events(run_id)].count("RunRecovered") == 0
        return next(event for event in site.events(run_id) if event["type"] == "StepFailed")["data"]["error"]

    for way in WAYS:
        runs = [site.trigger(skill, {"way": way}) for skill in ("unruly.thread", "unruly.coroutine")]
        codes = {error(run_id)["code"] for run_id in runs}
        assert codes == {"SKILL_CANCELLED" if way == "cancel" else "SKILL_EXECUTION_FAILED"}, way
    assert error(site.trigger("unruly.own_task", {}))["code"] == "SKILL_CANCELLED"
    if executor == "thread":  # in a process of its own what is left ends with the attempt
        for way in WAYS:
            for _ in range(2):
                assert site.ended(site.trigger("unruly.leaves", {"way": way}))["status"] == "completed"
    assert program.process.poll() is None
    refused = "a skill's task or callback tried to end the process, ignored"
    assert any(line.get("message") == refused for line in program.log) is (executor == "thread")
    program.process.terminate()
    assert program.wait() == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import sys; sys.exit(0)", "importing it called sys.exit: SystemExit: 0"),
        ("import argparse; argparse.ArgumentParser().parse_args()", "importing it called sys.exit: SystemExit: 2"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise type('PanicException', (BaseException,), {})('unwrap')", "PanicException: unwrap"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "worker"])
def test_a_module_that_ends_the_program_when_imported_is_named(
    database_url: str, home: Path, verb: str, content: str, words: str
) -> None:
    (home / "ends.py").write_text(content)
    what = ("run", definition(home, "unruly.thread")) if verb == "run" else ("worker",)
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}

    done = call(*what, "--skills", home / "ends.py", env=env)

    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err
    assert f"error: skills '{home / 'ends.py'}' has 1 fault:\n  {home / 'ends.py'}: {words}\n" in done.err
