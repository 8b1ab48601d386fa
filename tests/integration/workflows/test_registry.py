"""Registering: a version exists once, with one content, whoever registers it and how many at once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.errors import WorkflowNotFound, WorkflowVersionExists
from orchestrator.domain.events import WorkflowRegistered
from orchestrator.domain.workflow import CachePolicy, ChangeType, RetryPolicy, Step, Workflow
from orchestrator.eventstore.recorded import workflow_stream
from orchestrator.postgres.sql import load_sql
from orchestrator.workflows.registry import MAX_VERSIONS
from tests.world.core import World, open_world

_SQL = load_sql(__file__)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


def version(name: str, number: str, *steps: str) -> Workflow:
    return Workflow(name, number, {one: Step(one, "test.skill") for one in steps or ("a",)})


async def register(world: World, workflow: Workflow, tenant: str = "default") -> bool:
    return await world.core.workflows.register(workflow, tenant=tenant, actor="ann")


FULL = Workflow(
    "full.v1",
    "1.0.0",
    {
        "z": Step(
            "z",
            "test.skill",
            (),
            {"z": "trigger.z", "a": "`1e300`"},
            CachePolicy(enabled=False, scope="run_only", ttl_seconds=9),
            RetryPolicy(3, 10, 20, 1.5, 0.25, ("X",)),
            500,
        ),
        "a": Step("a", "test.skill", ("z",), "steps.z.data"),
    },
    {"some": ChangeType(("a",)), "all": ChangeType(None, force=True)},
    "Größe \u2028 \U0001f3b5",
    {"type": "object", "maximum": 1e300, "properties": {"z": {"const": -0.0}, "a": {}}},
    7,
)


async def test_a_workflow_comes_back_as_it_was_registered(world: World, database_url: str, tmp_path: Path) -> None:
    assert await register(world, FULL)
    with open_world(database_url, tmp_path) as other:  # nothing kept in memory
        found = other.core.workflows.get("default", "full.v1", "1.0.0")
    assert found == FULL
    assert repr(found) == repr(FULL), "down to the order of keys and the type of numbers"
    assert found.digest == FULL.digest


async def test_the_same_content_again_changes_nothing(world: World) -> None:
    assert await register(world, version("w", "1")) is True
    assert await register(world, version("w", "1")) is False
    assert len(world.core.log.read(workflow_stream("default", "w"))) == 1


async def test_the_same_version_with_other_content_is_refused(world: World) -> None:
    await register(world, version("w", "1", "a"))
    with pytest.raises(WorkflowVersionExists, match="register a new version") as caught:
        await register(world, version("w", "1", "b"))
    assert caught.value.details == {"workflowName": "w", "version": "1"}
    assert list(world.core.workflows.get("default", "w", "1").steps) == ["a"]


async def test_of_versions_the_one_registered_last_is_taken_unless_one_is_named(world: World) -> None:
    for number in ("1", "10", "2"):
        await register(world, version("w", number, f"step-of-{number}"))
    assert world.core.workflows.get("default", "w").version == "2"
    assert world.core.workflows.get("default", "w", "10").version == "10"
    assert list(world.core.workflows.versions("default", "w")) == ["1", "10", "2"]
    await register(world, version("w", "1", "step-of-1"))
    assert world.core.workflows.get("default", "w").version == "2", "registering it again does not make it the last"


async def test_the_catalogue_says_what_there_is_without_loading_definitions(world: World) -> None:
    for number in ("1", "2"):
        await register(world, version("w", number, f"step-of-{number}"))
    (summary,) = world.core.workflows.list("default")
    assert (summary.name, summary.version, summary.step_count) == ("w", "2", 1)
    assert summary == world.core.workflows.entry("default", "w").summary
    assert world.core.workflows.steps("default", "w") == {"step-of-1", "step-of-2"}
    assert world.core.workflows.steps("other", "w") == set()


async def test_of_very_many_versions_the_newest_are_named(world: World) -> None:
    await register(world, version("w", "first"))
    with world.core.database.connection() as connection:
        connection.execute(_SQL.more_versions, {"most": MAX_VERSIONS})
    named = world.core.workflows.versions("default", "w")
    assert (len(named), named[0], named[-1]) == (MAX_VERSIONS, "copy-1", f"copy-{MAX_VERSIONS}")
    assert world.core.workflows.get("default", "w", "first").version == "first"


async def test_what_is_not_there_is_not_found(world: World) -> None:
    await register(world, version("w", "1"))
    for name, number in (("w", "2"), ("v", None), ("v", "1")):
        with pytest.raises(WorkflowNotFound, match=name):
            world.core.workflows.get("default", name, number)


async def test_tenants_have_workflows_of_their_own(world: World) -> None:
    await register(world, version("w", "1", "a"))
    await register(world, version("w", "1", "b"), tenant="other")
    assert list(world.core.workflows.get("default", "w").steps) == ["a"]
    assert list(world.core.workflows.get("other", "w").steps) == ["b"]
    assert [entry.name for entry in world.core.workflows.list("other")] == ["w"]


async def test_many_who_register_the_same_content_at_once_agree(
    world: World, database_url: str, tmp_path: Path
) -> None:
    with open_world(database_url, tmp_path) as other:
        worlds = [world, other] * 10
        outcomes = await asyncio.gather(*(register(one, version("w", "1")) for one in worlds))
    assert outcomes.count(True) == 1
    assert len(world.core.log.read(workflow_stream("default", "w"))) == 1


async def test_of_many_contents_for_one_version_one_wins(world: World, database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as other:
        contents = [version("w", "1", f"step-{number}") for number in range(10)]
        outcomes = await asyncio.gather(
            *(register((world, other)[place % 2], content) for place, content in enumerate(contents)),
            return_exceptions=True,
        )
    winners = [content for content, outcome in zip(contents, outcomes, strict=True) if outcome is True]
    assert len(winners) == 1
    assert sum(isinstance(outcome, WorkflowVersionExists) for outcome in outcomes) == 9
    assert world.core.workflows.get("default", "w") == winners[0]


async def test_many_versions_at_once_are_all_registered(world: World, database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as other:
        await asyncio.gather(*(register((world, other)[n % 2], version("w", str(n))) for n in range(12)))
    history = world.core.log.read(workflow_stream("default", "w"))
    assert [item.version for item in history] == list(range(1, 13))
    order = [item.event.version for item in history if isinstance(item.event, WorkflowRegistered)]
    assert list(world.core.workflows.versions("default", "w")) == order
    assert world.core.workflows.get("default", "w").version == order[-1]


async def test_a_run_keeps_the_definition_it_began_with(world: World) -> None:
    """R25."""
    await register(world, version("w", "1", "a"))
    run_id = await world.trigger("w")
    await register(world, version("w", "2", "b"))
    assert list((await world.folded(run_id)).workflow.steps) == ["a"]
    assert list((await world.folded(await world.trigger("w"))).workflow.steps) == ["b"]
