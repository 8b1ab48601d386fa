"""A workflow run by the test kit is decided and driven as by a worker, in memory."""

import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import InvalidPayload, InvalidWorkflow
from orchestrator.skills import SkillError, SkillNotFound, StepContext, skill
from orchestrator.testing import arun, run
from orchestrator.workflows import define, step

FLOW = define(
    "kit.flow",
    "1.0.0",
    [
        step("find", "kit.find", input={"id": "trigger.id"}),
        step("write", "kit.write", ["find"], input={"name": "steps.find.data.name"}, retry=3),
        step("count", "kit.count", ["write"], input={"file": "steps.write.artifacts[0]"}),
    ],
    payload_schema={"type": "object", "required": ["id"]},
)


@skill("kit.find")
def find(given: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"person {given['id']}"}


@skill("kit.write")
async def write(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    ctx.log.info("writing")
    ctx.progress(1.0)
    ctx.artifact(given["name"].encode(), type="text/plain", filename="name.txt")
    return {"long": "x" * 100_000}


@skill("kit.count")
def count(given: dict[str, Any], ctx: StepContext) -> int:
    return len(ctx.read_artifact(given["file"]))


def test_a_run_and_what_it_leaves_behind() -> None:
    ran = run(FLOW, {"id": 7}, skills=[find, write, count])

    assert (ran.status, ran.workflow_version) == ("completed", "1.0.0")
    assert ran.steps == {"find": "completed", "write": "completed", "count": "completed"}
    assert ran.outputs["find"] == {"name": "person 7"}
    assert len(ran.outputs["write"]["long"]) == 100_000, "data too large for the log is there too"
    assert ran.outputs["count"] == 8
    assert [(one.filename, one.content) for one in ran.artifacts] == [("name.txt", b"person 7")]
    assert [event["type"] for event in ran.events] == [
        "RunTriggered", "RunStarted", "StepStarted", "StepCompleted", "StepStarted", "StepCompleted", "StepStarted",
        "StepCompleted", "RunCompleted",
    ]  # fmt: skip
    assert ran.logs["write"][0].text == "writing"
    assert ran.progress["write"] == [(1.0, "")]


def test_a_run_takes_well_under_a_second() -> None:
    run(FLOW, {"id": 7}, skills=[find, write, count])
    started = time.perf_counter()
    run(FLOW, {"id": 7}, skills=[find, write, count])
    assert time.perf_counter() - started < 0.5


def test_without_skills_those_of_the_module_are_used() -> None:
    assert run(FLOW, {"id": 7}).outputs["count"] == 8


def test_chosen_results_stand_for_steps() -> None:
    ran = run(FLOW, {"id": 7}, skills=[write, count], results={"find": {"name": "Ada"}})
    assert ran.status == "completed"
    assert ran.outputs["count"] == 3
    assert ran.events[2]["data"]["skill"] == "kit.find@chosen"


def test_a_chosen_exception_fails_the_step_in_each_attempt() -> None:
    problem = SkillError("NO_PAPER", "tray 2", retry_after_ms=3_600_000)
    started = time.perf_counter()
    ran = run(FLOW, {"id": 7}, skills=[find, write, count], results={"write": problem})

    assert ran.status == "failed"
    assert (ran.errors["write"].code, ran.errors["write"].message) == ("NO_PAPER", "tray 2")
    assert sum(event["type"] == "StepFailed" for event in ran.events) == 3
    assert "count" not in ran.outputs
    assert "NO_PAPER" in repr(ran)
    assert time.perf_counter() - started < 5, "pauses of an hour are skipped"
    times = [event["at"] for event in ran.events]
    assert times == sorted(times), "the clock went back"


def test_a_skill_that_fails_once_is_tried_again() -> None:
    attempts = []

    @skill("kit.write")
    def unsteady(_: Any, ctx: StepContext) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError("reset")
        ctx.artifact(b"abc", type="text/plain")

    ran = run(FLOW, {"id": 7}, skills=[find, unsteady, count])
    assert ran.status == "completed"
    assert attempts == [1, 2]
    assert ran.outputs["count"] == 3


def test_secrets_reach_the_skills() -> None:
    @skill("kit.find")
    def secretive(_: Any, ctx: Any) -> dict[str, Any]:
        return {"name": "x" * len(ctx.secret("TOKEN"))}

    assert run(FLOW, {"id": 1}, skills=[secretive, write, count], secrets={"TOKEN": "abcd"}).outputs["count"] == 4


def test_documents_and_files_are_workflows(tmp_path: Path) -> None:
    document = {"workflowName": "one", "version": "1", "steps": [{"stepId": "find", "skillId": "kit.find"}]}
    file = tmp_path / "one.yaml"
    file.write_text('workflowName: one\nversion: "1"\nsteps: [{stepId: find, skillId: kit.find}]\n')
    for source in (document, file, str(file)):
        assert run(source, results={"find": 1}).outputs == {"find": 1}


def test_a_python_file_brings_its_workflow_and_its_skills(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text(
        "from orchestrator import skill\n"
        "from orchestrator.workflows import define, step\n"
        "@skill('kit.seven')\n"
        "def seven() -> int:\n    return 7\n"
        "one = define('one', '1', [step('seven', 'kit.seven')])\n"
        "two = define('two', '1', [step('seven', 'kit.seven'), step('again', 'kit.seven')])\n"
    )
    assert run(f"{file}:two", skills=()).outputs == {"seven": 7, "again": 7}
    with pytest.raises(InvalidWorkflow, match=r"several workflows \(one, two\); select one: .*flows.py:one"):
        run(file)
    with pytest.raises(InvalidWorkflow, match=r"no workflow named 'tow'; did you mean 'two'\?"):
        run(f"{file}:tow")


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (InvalidPayload, {"payload": {}}, "'id'"),
        (InvalidPayload, {"payload": {"id": {1}}}, r"triggerPayload\.id"),
        (ValueError, {"results": {"fnd": 1}}, r"results: .* no step 'fnd'; did you mean 'find'\?"),
        (SkillNotFound, {"skills": [find, write]}, r"unknown skill 'kit.count'.*step 'count'; pass skills="),
        (ValueError, {"timeout_seconds": -1}, "timeout_seconds must be"),
        (ValueError, {"data_dir": "x", "results": {"find": 1}}, "results cannot be given with data_dir"),
        (TypeError, {"workflow": 7}, "workflow must be a Workflow, a document"),
        (TypeError, {"skills": [len]}, "mark the function with @skill"),
    ],
)
def test_wrong_arguments_are_told(kind: type[Exception], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(kind, match=message):
        run(**{"workflow": FLOW, "payload": {"id": 7}, "skills": [find, write, count], **arguments})


def test_a_run_that_does_not_end_names_its_steps() -> None:
    @skill("kit.find")
    def hang(_: Any, ctx: StepContext) -> None:
        ctx.wait(30)

    with pytest.raises(TimeoutError, match=r"kit.flow did not end within 0.2 s; executing steps: find"):
        run(FLOW, {"id": 7}, skills=[hang, write, count], timeout_seconds=0.2)


async def test_in_a_coroutine_it_is_awaited() -> None:
    assert (await arun(FLOW, {"id": 7}, skills=[find, write, count])).status == "completed"
    with pytest.raises(RuntimeError, match="await arun"):
        run(FLOW, {"id": 7})
