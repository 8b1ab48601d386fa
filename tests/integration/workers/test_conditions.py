"""Conditions and tolerated failures on a real database: what runs, what is shown, what an update and a retry do."""

from typing import Any

import pytest

from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.workflow import Step, Workflow
from tests.world.core import CALLER, World, statuses
from tests.world.work import Journal, at_work
from tests.world.workflows import workflow


def step(name: str, *needs: str, **options: Any) -> Step:
    return Step(name, "test.work", needs, options.pop("input", None), **options)


FALLBACK = workflow(
    "fallback",
    step("render", on_failure="continue", input={"fails": "trigger.fails", "hopeless": "`true`"}),
    step("publish", "render"),
    step("spare", after=("render",), when="steps.render.outcome == 'failed'"),
    step("report", after=("publish", "spare"), input={"returns": "{why: steps.render.error.code, ok: steps.spare}"}),
)
BANNER = workflow("banner", step("plan"), step("banner", "plan", when="trigger.wanted"), step("end", after=("banner",)))


def conditional(when: str) -> Workflow:
    return workflow("conditional", step("a", input={"returns": "trigger.returns"}), step("b", "a", when=when))


async def test_a_fallback_takes_over_and_a_retry_mends_the_run(world: World, journal: Journal) -> None:
    await world.register(FALLBACK)
    async with at_work(world.core, journal.registry()):
        run = await world.run("fallback", fails=9)
        assert statuses(run) == {"render": "failed", "publish": "omitted", "spare": "completed", "report": "completed"}
        assert run.status == "completed"
        report = run.step("report").output
        assert report is not None
        assert report.data["why"] == "BROKEN"
        assert report.data["ok"]["outcome"] == "done"
        await world.projected()
        view = world.core.reader.run("default", run.id)
        assert (view["stepsSummary"]["omitted"], view["stepsSummary"]["failed"]) == (1, 1)
        shown = {each["stepId"]: each["omittedBecause"] for each in world.core.reader.steps("default", run.id)}
        assert shown == {"render": None, "publish": "render has no result", "spare": None, "report": None}
        again = await world.finished(await world.core.changes.retry(CALLER, run.id))
        assert journal.steps(again.id) == ["render"], "the inputs of the others are the same as before"
        assert statuses(again) == {"render": "failed", "publish": "omitted", "spare": "skipped", "report": "skipped"}
        mended = await world.update(again, ChangeRequest("payload.patch", {"fails": 0}))
    ended = {"render": "completed", "publish": "completed", "spare": "omitted", "report": "completed"}
    assert statuses(mended) == ended


async def test_a_condition_follows_the_payload_through_updates(world: World, journal: Journal) -> None:
    await world.register(BANNER)
    async with at_work(world.core, journal.registry()):
        first = await world.run("banner", wanted=False)
        assert statuses(first)["banner"] == "omitted"
        other = await world.update(first, ChangeRequest("payload.patch", {"else": 1}))
        assert statuses(other) == {"plan": "skipped", "banner": "omitted", "end": "skipped"}
        await world.projected()
        assert world.core.reader.run("default", other.id)["stepsSummary"]["omitted"] == 1
        shown = {each["stepId"]: each["status"] for each in world.core.reader.steps("default", other.id)}
        assert shown == statuses(other)
        wanted = await world.update(other, ChangeRequest("payload.patch", {"wanted": True}))
        assert journal.steps(wanted.id)[0] == "banner"
        assert statuses(wanted)["plan"] == "skipped"
        assert statuses(await world.update(wanted, ChangeRequest("payload.patch", {"x": 1})))["banner"] == "skipped"


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        (None, "it is null; compare it"),
        ("yes", "it is a string"),
        (1, "it is a number"),
        ([True], "it is a list"),
        ({"a": True}, "it is an object"),
    ],
)
async def test_what_is_neither_true_nor_false_fails_the_step(
    world: World, journal: Journal, returns: Any, why: str
) -> None:
    await world.register(conditional("steps.a.data.value"))
    async with at_work(world.core, journal.registry()):
        run = await world.run("conditional", returns={"value": returns})
    assert run.error is not None
    assert (run.status, run.error.code, run.failed_step) == ("failed", "CONDITION_NOT_BOOLEAN", "b")
    assert run.error.message.startswith("step b: when must be true or false: steps.a.data.value: ")
    assert why in run.error.message
    assert journal.steps(run.id) == ["a"]


async def test_a_condition_that_cannot_be_evaluated_fails_the_step(world: World, journal: Journal) -> None:
    await world.register(conditional("length(steps.a.data.value) > `1`"))
    async with at_work(world.core, journal.registry()):
        run = await world.run("conditional", returns={"value": 7})
    assert run.error is not None
    assert run.error.code == "CONDITION_NOT_BOOLEAN"
    assert "length" in run.error.message


async def test_a_condition_is_decided_before_the_skill_is_looked_for(world: World, journal: Journal) -> None:
    unknown = Step("rare", "nobody.has.this", (), when="trigger.rare")
    await world.register(workflow("rare", step("a"), unknown))
    async with at_work(world.core, journal.registry()):
        run = await world.run("rare", rare=False)
    assert statuses(run) == {"a": "completed", "rare": "omitted"}


async def test_input_hashes_of_workflows_without_conditions_stay(world: World, journal: Journal) -> None:
    """A whole step as input: its outcome is not part of it unless the workflow uses outcomes."""
    plain = workflow("plain", step("a"), step("b", "a", input={"returns": "steps.a"}))
    await world.register(plain)
    async with at_work(world.core, journal.registry()):
        run = await world.run("plain")
    made = run.step("b").output
    assert made is not None
    assert made.data == {"data": {"made": "a"}, "artifacts": []}
