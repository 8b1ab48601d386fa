"""A trigger that names no version gets the newest, also when another process registered it a moment ago."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.application.commands import Wanted
from orchestrator.domain.errors import InvalidPayload
from orchestrator.domain.workflow import Workflow
from tests.world.core import CALLER, World, open_world
from tests.world.workflows import step


def version(number: str, **options: object) -> Workflow:
    return Workflow("flow", number, {"a": step("a")}, **options)  # type: ignore[arg-type]


def version_of(world: World, run_id: str) -> str:
    return world.core.runs.load(run_id).run.workflow.version


async def test_a_version_that_somebody_else_registered_is_used_at_once(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as one, open_world(database_url, tmp_path) as other:
        await one.register(version("1"))
        used = [version_of(one, await one.trigger("flow")) for _ in range(2)]
        for number in ("2", "3"):
            await other.register(version(number))
            used += [version_of(one, await one.trigger("flow")) for _ in range(2)]
        assert used == ["1", "1", "2", "2", "3", "3"]


async def test_one_that_comes_too_late_holds_up_no_other(database_url: str, tmp_path: Path) -> None:
    """Their appends share a transaction: that one of them is refused is nothing to the rest."""
    with open_world(database_url, tmp_path) as one, open_world(database_url, tmp_path) as other:
        await one.register(version("1"), Workflow("still", "1", {"a": step("a")}))
        await one.trigger("flow")
        await one.trigger("still")
        await other.register(version("2"))
        ids = await asyncio.gather(*(one.trigger(name) for _ in range(20) for name in ("flow", "still")))
        assert [version_of(one, run_id) for run_id in ids] == ["2", "1"] * 20


async def test_the_newest_version_says_what_payload_it_takes(database_url: str, tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["brief"]}
    with open_world(database_url, tmp_path) as one, open_world(database_url, tmp_path) as other:
        await one.register(version("1", payload_schema=schema))
        with pytest.raises(InvalidPayload):
            await one.trigger("flow")
        await other.register(version("2"))
        assert version_of(one, await one.trigger("flow")) == "2"
        await other.register(version("3", payload_schema=schema))
        with pytest.raises(InvalidPayload):
            await one.trigger("flow")


async def test_a_key_that_was_used_is_answered_as_before(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as one, open_world(database_url, tmp_path) as other:
        await one.register(version("1"))
        first = await one.core.commands.trigger(CALLER, Wanted("flow", payload={}), idempotency_key="k")
        await other.register(version("2"))
        again = await one.core.commands.trigger(CALLER, Wanted("flow", payload={}), idempotency_key="k")
        assert again.run_id == first.run_id
        assert version_of(one, again.run_id) == "1"
