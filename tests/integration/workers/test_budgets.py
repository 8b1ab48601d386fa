"""What a selector or a result expands to is bounded: the step fails, and its worker goes on with other runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from orchestrator import skill
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import RetryPolicy
from orchestrator.skills import SkillRegistry
from tests.servers import Databases
from tests.world.core import World, open_world, statuses
from tests.world.work import Journal
from tests.world.workflows import step, workflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENT = RetryPolicy(max_attempts=5)


@skill("test.shared")
async def shared(input: dict[str, Any]) -> Any:
    """Return a value of 40 lists that stands for a million millions of them."""
    value: Any = "word"
    for _ in range(40):
        value = [value, value]
    return value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    databases: Databases, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    name = databases.create(template_database)
    journal = Journal()
    skills = SkillRegistry([*journal.registry(), shared])
    with open_world(databases.url(name), tmp_path_factory.mktemp("budgets")) as world:
        async with open_worker(world.core, skills):
            await world.register(workflow("plain", step("a", ms="`1`")))
            yield world
    databases.drop(name)


EXPRESSIONS = {
    "multi-select lists": "trigger.a" + " | [@,@]" * 40,
    "multi-select hashes": "trigger.a" + " | {x: @, y: @}" * 40,
    "joined text": "trigger.a" + " | join('', [@,@])" * 40,
    "map": "[trigger.a]" + " | [@,@][] | map(&@, @)" * 40,
    "text of shared lists": "trigger.a" + " | [@,@]" * 40 + " | to_string(@)",
    "comparison": "trigger.a | {l: " + "@" + " | [@,@]" * 40 + ", r: @" + " | [@,@]" * 40 + "} | l == r",
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
async def test_a_step_that_multiplies_its_input_fails_for_good_and_the_worker_goes_on(
    world: World, expression: str
) -> None:
    name = f"hostile-{abs(hash(expression))}"
    await world.register(workflow(name, step("a"), step("b", "a", retry=PATIENT, x=expression)))
    hostile = await world.trigger(name, a="word")
    others = [world.run("plain") for _ in range(5)]

    assert [run.status for run in await asyncio.gather(*others)] == ["completed"] * 5
    run = await world.finished(hostile)
    error = run.steps["b"].error
    assert statuses(run) == {"a": "completed", "b": "failed"}
    assert error is not None
    assert (error.code, error.retryable) == ("SKILL_INPUT_TOO_LARGE", False)
    assert "more than 1,000,000" in error.message
    assert world.events(run.id).count("StepFailed b") == 1


async def test_an_input_that_is_large_but_not_too_large_is_picked_in_a_thread(world: World) -> None:
    await world.register(workflow("large", step("a", returns="length(join('', trigger.list[*]))")))
    run = await world.run("large", list=["word"] * 50_000)
    assert run.status == "completed"
    assert run.steps["a"].output is not None
    assert run.steps["a"].output.data == 200_000


async def test_a_result_that_expands_without_end_fails_its_step(world: World) -> None:
    await world.register(workflow("result", step("a", skill_id="test.shared")))
    run = await world.run("result")
    error = run.steps["a"].error
    assert error is not None
    assert error.code == "SKILL_OUTPUT_INVALID"
    assert "expands to more than 1,000,000 values" in error.message
    assert (await world.run("plain")).status == "completed"
