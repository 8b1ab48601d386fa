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
from tests.integration.cache.studio import CALLER, Studio, at_work

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


async def test_the_field_that_made_a_miss_is_named_with_both_values(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    async with at_work(studio, [echo]):
        first = await studio.run("test.explained", {"brief": {"style": "neon", "mood": "calm"}, "seed": 1})
        second = await studio.run("test.explained", {"brief": {"style": "ocean", "mood": "calm"}, "seed": 1})
    explained = await studio.core.explainer.explain("default", second.id)
    assert facts(explained) == {
        "plan": ("miss", first.id, (Difference("input.brief.style", "neon", "ocean"),)),
        "draw": ("miss", first.id, (Difference("input.brief.style", "neon", "ocean"),)),
        "other": ("hit", first.id, ()),
    }
    plan = await studio.explain(second, "plan")
    assert plan.reason == "no result with this key"
    assert plan.components == {
        "workflow": "test.explained",
        "step": "plan",
        "inputHash": second.step("plan").input_hash,
        "skill": "test.echo@1",
        "input": {"brief": {"style": "ocean", "mood": "calm"}, "seed": 1},
    }


async def test_an_update_is_compared_with_its_base(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    async with at_work(studio, [echo]):
        base = await studio.run("test.explained", {"brief": "a", "seed": 1})
        await studio.run("test.explained", {"brief": "z", "seed": 1})
        update = await studio.update(base, ChangeRequest("brief", {"seed": None, "new": True}))
        later = await studio.update(update, ChangeRequest("brief", {"brief": "b", "seed": None}))
    assert facts(await studio.core.explainer.explain("default", update.id)) == {
        "plan": ("miss", base.id, (Difference("input.seed", 1, None),)),
        "draw": ("unchanged", base.id, ()),
        "other": ("reused", base.id, ()),
    }
    assert facts(await studio.core.explainer.explain("default", later.id)) == {
        "plan": ("miss", update.id, (Difference("input.brief", "a", "b"),)),
        "draw": ("miss", update.id, (Difference("input.brief", "a", "b"),)),
        "other": ("reused", base.id, ()),
    }


async def test_another_skill_version_is_named_also_when_the_base_was_skipped(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    async with at_work(studio, [echo]):
        first = await studio.run("test.explained", {"brief": "a", "seed": 1})
        base = await studio.update(first, ChangeRequest("brief", {"unread": 1}))
        assert base.step("plan").hit == "unchanged"
    async with at_work(studio, [newer_echo]):
        update = await studio.update(base, ChangeRequest("brief", {"unread": 2}))
    assert facts([await studio.explain(update, "plan")]) == {
        "plan": ("miss", base.id, (Difference("skill", "test.echo@1", "test.echo@2"),))
    }


async def test_the_first_result_has_nothing_to_be_compared_with(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    async with at_work(studio, [echo]):
        first = await studio.run("test.explained", {"brief": "a", "seed": 1})
        assert facts([await studio.explain(first, "plan")]) == {"plan": ("miss", None, ())}
        assert (await studio.explain(first, "plan")).reason == "no result with this key"
        await studio.invalidate(workflow="test.explained", step="plan")
        second = await studio.run("test.explained", {"brief": "a", "seed": 1})
    explained = await studio.explain(second, "plan")
    assert explained.reason == "no result with this key; earlier results were withdrawn: invalidated by hand"
    assert (await studio.explain(second, "draw")).verdict == "hit"
    # what was withdrawn later is no reason
    assert (await studio.explain(first, "plan")).reason == "no result with this key"


async def test_a_step_that_has_not_begun_has_no_key(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    accepted = await studio.core.commands.trigger(CALLER, Wanted("test.explained", payload={}))
    run = await studio.folded(accepted.run_id)
    assert facts(await studio.core.explainer.explain("default", run.id)) == {
        "plan": ("pending", None, ()),
        "draw": ("pending", None, ()),
        "other": ("pending", None, ()),
    }


async def test_what_is_not_there_is_an_error(studio: Studio) -> None:
    await studio.register(WORKFLOW)
    accepted = await studio.core.commands.trigger(CALLER, Wanted("test.explained", payload={}))
    with pytest.raises(UnknownStep, match="has no step 'nothing'"):
        await studio.core.explainer.explain("default", accepted.run_id, ["nothing"])
    with pytest.raises(RunNotFound):
        await studio.core.explainer.explain("other", accepted.run_id)
