"""Why a step was, or was not, taken from the cache: the part of its key that differs, before and now."""

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.application.commands import Wanted
from orchestrator.application.explain import Difference, Explanation
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.errors import RunNotFound, UnknownStep
from orchestrator.skills import skill
from orchestrator.workflows import define, step
from tests.world.core import CALLER, World
from tests.world.work import at_work

WORKFLOW = define(
    "test.explained",
    "1",
    [
        step("plan", "test.echo", input={"brief": "trigger.brief", "seed": "trigger.seed"}),
        step("draw", "test.echo", ["plan"], input={"brief": "steps.plan.data.brief"}),
        step("other", "test.echo", input={"fixed": "`1`"}),
    ],
    change_types={"brief": ["plan"]},
)


@skill("test.echo")
async def echo(given: dict[str, Any]) -> dict[str, Any]:
    return given


@skill("test.echo", version="2")
async def newer_echo(given: dict[str, Any]) -> dict[str, Any]:
    return given


def facts(explained: Sequence[Explanation]) -> dict[str, tuple[Any, ...]]:
    return {one.step: (one.verdict, one.compared_with, one.differences) for one in explained}


async def test_the_field_that_made_a_miss_is_named_with_both_values(world: World) -> None:
    await world.register(WORKFLOW)
    async with at_work(world.core, [echo]):
        first = await world.run("test.explained", {"brief": {"style": "neon", "mood": "calm"}, "seed": 1})
        second = await world.run("test.explained", {"brief": {"style": "ocean", "mood": "calm"}, "seed": 1})
    explained = await world.core.explainer.explain("default", second.id)
    assert facts(explained) == {
        "plan": ("miss", first.id, (Difference("input.brief.style", "neon", "ocean"),)),
        "draw": ("miss", first.id, (Difference("input.brief.style", "neon", "ocean"),)),
        "other": ("hit", first.id, ()),
    }
    plan = await world.explain(second, "plan")
    assert plan.reason == "no result with this key"
    assert plan.components == {
        "workflow": "test.explained",
        "step": "plan",
        "inputHash": second.step("plan").input_hash,
        "skill": "test.echo@1",
        "input": {"brief": {"style": "ocean", "mood": "calm"}, "seed": 1},
    }


async def test_an_update_is_compared_with_its_base(world: World) -> None:
    await world.register(WORKFLOW)
    async with at_work(world.core, [echo]):
        base = await world.run("test.explained", {"brief": "a", "seed": 1})
        await world.run("test.explained", {"brief": "z", "seed": 1})
        update = await world.update(base, ChangeRequest("brief", {"seed": None, "new": True}))
        later = await world.update(update, ChangeRequest("brief", {"brief": "b", "seed": None}))
    assert facts(await world.core.explainer.explain("default", update.id)) == {
        "plan": ("miss", base.id, (Difference("input.seed", 1, None),)),
        "draw": ("unchanged", base.id, ()),
        "other": ("reused", base.id, ()),
    }
    assert facts(await world.core.explainer.explain("default", later.id)) == {
        "plan": ("miss", update.id, (Difference("input.brief", "a", "b"),)),
        "draw": ("miss", update.id, (Difference("input.brief", "a", "b"),)),
        "other": ("reused", base.id, ()),
    }


async def test_another_skill_version_is_named_also_when_the_base_was_skipped(world: World) -> None:
    await world.register(WORKFLOW)
    async with at_work(world.core, [echo]):
        first = await world.run("test.explained", {"brief": "a", "seed": 1})
        base = await world.update(first, ChangeRequest("brief", {"unread": 1}))
        assert base.step("plan").hit == "unchanged"
    async with at_work(world.core, [newer_echo]):
        update = await world.update(base, ChangeRequest("brief", {"unread": 2}))
    assert facts([await world.explain(update, "plan")]) == {
        "plan": ("miss", base.id, (Difference("skill", "test.echo@1", "test.echo@2"),))
    }


async def test_the_first_result_has_nothing_to_be_compared_with(world: World) -> None:
    await world.register(WORKFLOW)
    async with at_work(world.core, [echo]):
        first = await world.run("test.explained", {"brief": "a", "seed": 1})
        assert facts([await world.explain(first, "plan")]) == {"plan": ("miss", None, ())}
        assert (await world.explain(first, "plan")).reason == "no result with this key"
        await world.invalidate(workflow="test.explained", step="plan")
        second = await world.run("test.explained", {"brief": "a", "seed": 1})
    explained = await world.explain(second, "plan")
    assert explained.reason == "no result with this key; earlier results were withdrawn: invalidated by hand"
    assert (await world.explain(second, "draw")).verdict == "hit"
    # what was withdrawn later is no reason
    assert (await world.explain(first, "plan")).reason == "no result with this key"


async def test_a_step_that_has_not_begun_has_no_key(world: World) -> None:
    await world.register(WORKFLOW)
    accepted = await world.core.commands.trigger(CALLER, Wanted("test.explained", payload={}))
    run = await world.folded(accepted.run_id)
    assert facts(await world.core.explainer.explain("default", run.id)) == {
        "plan": ("pending", None, ()),
        "draw": ("pending", None, ()),
        "other": ("pending", None, ()),
    }


async def test_what_is_not_there_is_an_error(world: World) -> None:
    await world.register(WORKFLOW)
    accepted = await world.core.commands.trigger(CALLER, Wanted("test.explained", payload={}))
    with pytest.raises(UnknownStep, match="has no step 'nothing'"):
        await world.core.explainer.explain("default", accepted.run_id, ["nothing"])
    with pytest.raises(RunNotFound):
        await world.core.explainer.explain("other", accepted.run_id)
