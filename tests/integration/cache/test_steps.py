"""What a run takes from the cache, and what it does not (R8, R10)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from orchestrator.application.caller import Caller
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.workflow import CachePolicy, RetryPolicy, Workflow
from orchestrator.skills import SkillError, StepContext, skill
from orchestrator.skills.skill import Skill
from orchestrator.workflows import define, step
from tests.waiting import until
from tests.world.core import World, outputs, statuses
from tests.world.work import at_work

LINE = define(
    "test.line",
    "1",
    [
        step("plan", "test.plan", input={"brief": "trigger.brief"}),
        step("draw", "test.draw", ["plan"], input={"mood": "steps.plan.data.mood"}),
    ],
    change_types={"brief": ["plan"]},
)


class Kitchen:
    """Skills that count how often they are called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def skills(self, version: str = "1") -> list[Skill]:
        @skill("test.plan", version=version)
        async def plan(given: dict[str, Any]) -> dict[str, Any]:
            self.calls["plan"] += 1
            return {"mood": len(str(given["brief"])), "large": 1e20, "small": -0.0, "half": 0.5}

        @skill("test.draw", version=version)
        async def draw(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
            self.calls["draw"] += 1
            ctx.artifact(f"picture {given['mood']}".encode(), type="image/png", filename="a.png", metadata={"w": 1})
            return {}

        return [plan, draw]


async def test_the_second_run_executes_nothing(world: World) -> None:
    kitchen = Kitchen()
    await world.register(LINE)
    async with at_work(world.core, kitchen.skills()):
        first = await world.run("test.line", {"brief": {"a": 1, "b": 2}})
        second = await world.run("test.line", {"brief": {"b": 2, "a": 1}})
    assert kitchen.calls == {"plan": 1, "draw": 1}
    assert statuses(first) == {"plan": "completed", "draw": "completed"}
    assert statuses(second) == {"plan": "skipped", "draw": "skipped"}
    assert outputs(second) == outputs(first)
    assert second.step("draw").source_run == first.id
    assert second.step("draw").hit == "cache"
    assert second.step("draw").cache_key == f"test.line:draw:{first.step('draw').input_hash}"
    assert world.core.cache_counts.hits == {"memory": 2}


async def test_another_process_finds_it_in_the_cold_tier_and_promotes_it(world: World) -> None:
    kitchen, counts = Kitchen(), world.core.cache_counts
    await world.register(LINE)
    async with at_work(world.core, kitchen.skills()):
        first = await world.run("test.line", {"brief": "x"})
    async with at_work(world.core, kitchen.skills()):
        second = await world.run("test.line", {"brief": "x"})
        assert counts.hits == {"cold": 2}
        third = await world.run("test.line", {"brief": "x"})
    assert counts.hits == {"cold": 2, "memory": 2}
    assert (counts.misses, counts.stored, counts.promoted) == (2, 2, 2)
    assert kitchen.calls == {"plan": 1, "draw": 1}
    assert outputs(third) == outputs(second) == outputs(first)
    assert str(outputs(third)["plan"].data) == str(outputs(first)["plan"].data)  # 1e20 is still a float


async def test_another_input_misses(world: World) -> None:
    kitchen = Kitchen()
    await world.register(LINE)
    async with at_work(world.core, kitchen.skills()):
        await world.run("test.line", {"brief": "one"})
        other = await world.run("test.line", {"brief": "two"})  # of the same length: early cutoff
    assert kitchen.calls == {"plan": 2, "draw": 1}
    assert statuses(other) == {"plan": "completed", "draw": "skipped"}
    assert world.misses(other) == {"plan": "no result with this key"}


async def test_another_version_of_the_skill_misses(world: World) -> None:
    kitchen = Kitchen()
    await world.register(LINE)
    async with at_work(world.core, kitchen.skills("1")):
        await world.run("test.line", {"brief": "x"})
    async with at_work(world.core, kitchen.skills("2")):
        newer = await world.run("test.line", {"brief": "x"})
        assert kitchen.calls == {"plan": 2, "draw": 2}
        explained = await world.explain(newer, "plan")
        assert [(one.field, one.before, one.after) for one in explained.differences] == [
            ("skill", "test.plan@1", "test.plan@2")
        ]
    async with at_work(world.core, kitchen.skills("1")):
        older = await world.run("test.line", {"brief": "x"})
    assert statuses(older) == {"plan": "skipped", "draw": "skipped"}


async def test_results_are_of_one_tenant_alone(world: World) -> None:
    kitchen = Kitchen()
    await world.register(LINE)
    await world.core.workflows.register(LINE, tenant="other", actor="test")
    async with at_work(world.core, kitchen.skills()):
        await world.run("test.line", {"brief": "x"})
        await world.run("test.line", {"brief": "x"}, Caller("other", "test"))
    assert kitchen.calls == {"plan": 2, "draw": 2}


async def test_a_policy_that_is_off_neither_looks_nor_keeps(world: World) -> None:
    kitchen = Kitchen()
    off = define("test.off", "1", [step("plan", "test.plan", input={"brief": "trigger.brief"}, cache=False)])
    await world.register(off)
    async with at_work(world.core, kitchen.skills()):
        await world.run("test.off", {"brief": "x"})
        second = await world.run("test.off", {"brief": "x"})
    assert kitchen.calls == {"plan": 2}
    assert world.misses(second) == {"plan": "the step's cachePolicy is off"}
    assert world.core.cache.entries("default") == []


async def test_a_forced_step_executes_though_there_is_a_result(world: World) -> None:
    kitchen = Kitchen()
    await world.register(LINE)
    async with at_work(world.core, kitchen.skills()):
        first = await world.run("test.line", {"brief": "x"})
        forced = await world.update(first, ChangeRequest("brief", {}, force=True))
        assert kitchen.calls == {"plan": 2, "draw": 1}
        assert world.misses(forced) == {"plan": "forced"}
        assert forced.step("draw").hit == "unchanged"
        # what it made is the newest result now
        second = await world.run("test.line", {"brief": "x"})
    assert second.step("plan").source_run == forced.id


async def test_success_on_the_second_attempt_is_kept_and_failure_never(world: World) -> None:
    attempts: Counter[str] = Counter()

    @skill("test.shaky")
    async def shaky(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
        attempts[given["name"]] += 1
        if given["name"] == "never" or attempts[given["name"]] == 1:
            raise SkillError("TEST_SHAKY", "not this time")
        return {"attempt": ctx.attempt}

    hasty = RetryPolicy(max_attempts=2, backoff_ms=1)
    await world.register(
        define("test.shaky", "1", [step("shake", "test.shaky", input={"name": "trigger.name"}, retry=hasty)])
    )
    async with at_work(world.core, [shaky]):
        first = await world.run("test.shaky", {"name": "second"})
        again = await world.run("test.shaky", {"name": "second"})
        failed = [await world.run("test.shaky", {"name": "never"}) for _ in range(2)]
    assert first.step("shake").attempt == 2
    assert attempts == {"second": 2, "never": 4}
    assert statuses(again) == {"shake": "skipped"}
    assert outputs(again) == outputs(first)
    assert [run.status for run in failed] == ["failed", "failed"]
    assert len(world.core.cache.entries("default")) == 1


async def test_an_input_without_canonical_form_fails_and_names_the_path(world: World) -> None:
    @skill("test.nan")
    async def nan(given: dict[str, Any]) -> dict[str, Any]:
        return {"x": 1}

    workflow = define(
        "test.nan",
        "1",
        [
            step("fine", "test.nan", input={"x": "`1`"}),
            step("wrong", "test.nan", input={"deep": "{list: [trigger.a, sum([`1e308`, `1e308`])]}"}),
        ],
    )
    await world.register(workflow)
    async with at_work(world.core, [nan]):
        run = await world.run("test.nan", {"a": 1})
    assert run.status == "failed"
    error = run.step("wrong").error
    assert error is not None
    assert (error.code, error.details["path"]) == ("SKILL_INPUT_NOT_CANONICAL", "$.deep.list[1]")
    explained = await world.explain(run, "wrong")
    assert (explained.verdict, explained.key) == ("failed", None)
    assert "$.deep.list[1]" in explained.reason


ONLY = CachePolicy(scope="run_only")
PRIVATE = define(
    "test.private",
    "1",
    [
        step("plan", "test.plan", input={"brief": "trigger.brief"}, cache=ONLY),
        step("draw", "test.draw", ["plan"], input={"mood": "steps.plan.data.mood"}, cache=ONLY),
    ],
    change_types={"brief": ["plan"]},
)


async def test_a_run_only_result_serves_its_run_and_updates_of_it_and_no_other(world: World) -> None:
    kitchen = Kitchen()
    await world.register(PRIVATE)
    async with at_work(world.core, kitchen.skills()):
        first = await world.run("test.private", {"brief": "x"})
        other = await world.run("test.private", {"brief": "x"})
        assert kitchen.calls == {"plan": 2, "draw": 2}
        assert world.core.cache.entries("default") == []  # dropped with the end of their run
        update = await world.update(first, ChangeRequest("brief", {"unread": 1}))
        assert kitchen.calls == {"plan": 2, "draw": 2}
        assert [state.hit for _, state in update.states()] == ["unchanged", "unchanged"]
        # an update of the update: those steps have no result of their own there
        third = await world.update(update, ChangeRequest("brief", {"unread": 2}))
    assert kitchen.calls == {"plan": 2, "draw": 2}
    assert [state.source_run for _, state in third.states()] == [first.id, first.id]
    assert outputs(third) == outputs(other)


async def test_a_run_only_result_of_a_run_that_goes_on_serves_no_other(world: World) -> None:
    calls: Counter[str] = Counter()
    go_on = asyncio.Event()

    @skill("test.plan")
    async def plan(given: dict[str, Any]) -> dict[str, Any]:
        calls["plan"] += 1
        return {"mood": 1}

    @skill("test.draw")
    async def draw(given: dict[str, Any]) -> dict[str, Any]:
        calls["draw"] += 1
        await go_on.wait()
        return {}

    await world.register(PRIVATE)
    async with at_work(world.core, [plan, draw]):
        runs = []
        for number in (1, 2):
            runs.append(asyncio.create_task(world.run("test.private", {"brief": "x"})))
            await until(lambda: calls["draw"], 30, "it draws", right=lambda count, number=number: count >= number)
        assert len(world.core.cache.entries("default")) == 2  # both are there, each for its own run
        go_on.set()
        assert [statuses(await run) for run in runs] == [{"plan": "completed", "draw": "completed"}] * 2
    assert calls == {"plan": 2, "draw": 2}


@pytest.mark.parametrize("workflow", [LINE, PRIVATE])
async def test_an_update_takes_what_is_unchanged_from_a_base_that_was_skipped_itself(
    world: World, workflow: Workflow
) -> None:
    kitchen = Kitchen()
    await world.register(workflow)
    async with at_work(world.core, kitchen.skills()):
        first = await world.run(workflow.name, {"brief": "x"})
        base = await world.update(first, ChangeRequest("brief", {"unread": 1}))
        await world.invalidate(workflow=workflow.name)
        update = await world.update(base, ChangeRequest("brief", {"unread": 2}))
    assert kitchen.calls == {"plan": 1, "draw": 1}
    assert [(state.hit, state.source_run) for _, state in update.states()] == [("unchanged", first.id)] * 2
