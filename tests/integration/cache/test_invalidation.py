"""Withdrawing results: recorded, heard of in every process, and never served again."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.application.clock import now
from orchestrator.cache.catalogue import PruneLimits
from orchestrator.domain.events import StepCacheInvalidated
from orchestrator.eventstore.recorded import cache_stream
from orchestrator.skills import skill
from orchestrator.skills.skill import Skill
from orchestrator.workflows import define, step
from tests.servers import ValkeyServer
from tests.world.core import CALLER, World, open_world, statuses
from tests.world.work import at_work

WORKFLOWS = [
    define(name, "1", [step(each, "test.count", input={"n": "trigger.n"}) for each in ("a", "b")])
    for name in ("test.first", "test.second")
]


class Counting:
    calls = 0

    def skills(self) -> list[Skill]:
        @skill("test.count")
        async def count(given: dict[str, Any]) -> dict[str, Any]:
            self.calls += 1
            return {"call": self.calls}

        return [count]


@contextmanager
def two_processes(database_url: str, folder: Path, redis_url: str | None) -> Iterator[tuple[World, World]]:
    """Two cores that share nothing but the servers, as two processes would."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(open_world(database_url, folder, redis_url=redis_url)) for _ in range(2))
        yield one, other


@pytest.mark.parametrize("redis", [False, True])
async def test_an_invalidation_reaches_the_quick_tiers_of_another_process(
    database_url: str, tmp_path: Path, valkey: ValkeyServer, redis: bool
) -> None:
    counting = Counting()
    with two_processes(database_url, tmp_path, valkey.url if redis else None) as (here, there):
        await here.register(WORKFLOWS[0])
        async with at_work(here.core, counting.skills()):
            for round_number in range(1, 6):
                assert statuses(await here.run("test.first", {"n": 1})) == {"a": "completed", "b": "completed"}
                assert statuses(await here.run("test.first", {"n": 1})) == {"a": "skipped", "b": "skipped"}
                assert counting.calls == 2 * round_number
                await there.invalidate(workflow="test.first")  # no pause: the next run must know
            await here.run("test.first", {"n": 1})
        assert here.core.cache_counts.hits == {"memory": 10}
        assert here.core.cache_counts.invalidated == 5
        if redis:  # nor does a process that begins now find withdrawn results in Valkey
            await there.invalidate(workflow="test.first")
            async with at_work(there.core, counting.skills()):
                await there.run("test.first", {"n": 1})
            assert counting.calls == 14


async def test_the_hot_tier_serves_another_process(database_url: str, tmp_path: Path, valkey: ValkeyServer) -> None:
    counting = Counting()
    with two_processes(database_url, tmp_path, valkey.url) as (here, there):
        await here.register(WORKFLOWS[0])
        async with at_work(here.core, counting.skills()):
            first = await here.run("test.first", {"n": 1})
        async with at_work(there.core, counting.skills()):
            second = await there.run("test.first", {"n": 1})
            third = await there.run("test.first", {"n": 1})
        assert there.core.cache_counts.hits == {"hot": 2, "memory": 2}
        assert there.core.cache_counts.promoted == 2
    assert counting.calls == 2
    assert first.step("a").output == second.step("a").output == third.step("a").output
    assert second.step("a").source_run == third.step("a").source_run == first.id


async def test_two_databases_may_share_a_valkey(
    database_url: str, tmp_path: Path, valkey: ValkeyServer, databases: Any, template_database: str
) -> None:
    counting = Counting()
    other_url = databases.url(databases.create(template_database))
    for url in (database_url, other_url):
        with open_world(url, tmp_path, redis_url=valkey.url) as world:
            await world.register(WORKFLOWS[0])
            async with at_work(world.core, counting.skills()):
                await world.run("test.first", {"n": 1})
    assert counting.calls == 4  # what the first knows never happened in the second


async def test_a_result_recorded_after_the_invalidation_is_a_new_one(world: World) -> None:
    begun, go_on, calls = asyncio.Event(), asyncio.Event(), 0

    @skill("test.count")
    async def count(given: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        begun.set()
        await go_on.wait()
        return {"call": calls}

    await world.register(define("test.one", "1", [step("a", "test.count")]))
    async with at_work(world.core, [count]):
        running = asyncio.create_task(world.run("test.one"))
        await begun.wait()
        await world.invalidate(workflow="test.one")
        go_on.set()
        first = await running
        second = await world.run("test.one")
    assert calls == 1
    assert second.step("a").source_run == first.id
    assert world.core.cache_counts.hits == {"cold": 1}  # the quick tiers were not told: its epoch was over


async def filled(world: World) -> dict[str, list[str]]:
    """Two workflows of two steps, with results for three payloads; the keys by workflow and step."""
    await world.register(*WORKFLOWS)
    async with at_work(world.core, Counting().skills()):
        for number in range(3):
            for workflow in WORKFLOWS:
                await world.run(workflow.name, {"n": number})
    return kept(world)


def kept(world: World) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for row in world.core.cache.entries("default", limit=1000):
        keys.setdefault(f"{row['workflow']}:{row['step_id']}", []).append(row["key"])
    return {place: sorted(found) for place, found in keys.items()}


async def test_exactly_what_is_named_is_withdrawn_and_the_log_says_so(world: World) -> None:
    before = await filled(world)
    key = before["test.first:a"][0]
    assert await world.invalidate(key, "nothing") == 1
    assert kept(world) == {**before, "test.first:a": before["test.first:a"][1:]}
    assert await world.invalidate(workflow="test.first", step="b") == 3
    assert kept(world).keys() == {"test.first:a", "test.second:a", "test.second:b"}
    assert await world.invalidate(workflow="test.second") == 6
    assert kept(world) == {"test.first:a": before["test.first:a"][1:]}
    assert await world.invalidate(workflow="test.nobody") == 0
    history = world.core.log.read(cache_stream("default"))
    assert [(recorded.version, recorded.actor) for recorded in history] == [(n, "test") for n in (1, 2, 3, 4)]
    events = [recorded.event for recorded in history if isinstance(recorded.event, StepCacheInvalidated)]
    assert [(event.keys, event.workflow, event.step) for event in events] == [
        ((key, "nothing"), None, None),
        ((), "test.first", "b"),
        ((), "test.second", None),
        ((), "test.nobody", None),
    ]
    assert {event.reason for event in events} == {"invalidated by hand"}


async def test_an_invalidation_must_name_something(world: World) -> None:
    for wrong in ({}, {"step": "a"}):
        with pytest.raises(ValueError, match="give keys, or a workflow"):
            await world.invalidate(**wrong)
    assert world.core.log.read(cache_stream("default")) == []


async def test_other_tenants_keep_their_results(world: World) -> None:
    before = await filled(world)
    await world.core.cache.invalidate("other", "test", workflow="test.first")
    await world.core.cache.prune("other", "test", PruneLimits(entries=0))
    assert kept(world) == before


async def test_a_prune_leaves_the_newest(world: World) -> None:
    await filled(world)
    rows = world.core.cache.entries("default")
    newest = [row["key"] for row in rows]
    tenant, prune = "default", world.core.cache.prune
    assert await prune(tenant, "test", PruneLimits()) == 0
    assert await prune(tenant, "test", PruneLimits(entries=12, bytes=10**6, before=0)) == 0
    assert world.core.log.read(cache_stream(tenant)) == []  # nothing done, nothing recorded
    assert await prune(tenant, "test", PruneLimits(entries=7)) == 5
    left = {key for keys in kept(world).values() for key in keys}
    assert len(left) == 7
    oldest_left = min(row["stored_at"] for row in rows if row["key"] in left)
    assert all(row["stored_at"] <= oldest_left for row in rows if row["key"] not in left)
    sizes = {row["key"]: row["size_bytes"] for row in rows}
    room = sum(sizes[key] for key in [key for key in newest if key in left][:4])
    assert await prune(tenant, "test", PruneLimits(bytes=room)) == 3
    assert await prune(tenant, "test", PruneLimits(before=now() + 1)) == 4
    assert kept(world) == {}
    events = [recorded.event for recorded in world.core.log.read(cache_stream(tenant))]
    assert [(event.reason, len(event.keys)) for event in events if isinstance(event, StepCacheInvalidated)] == [
        ("pruned", 5),
        ("pruned", 3),
        ("pruned", 4),
    ]


async def test_stats_add_up(world: World) -> None:
    await filled(world)
    rows, stats = world.core.cache.entries("default"), world.core.cache.stats("default")
    assert [(row["workflow"], row["step_id"], row["entries"]) for row in stats] == [
        ("test.first", "a", 3),
        ("test.first", "b", 3),
        ("test.second", "a", 3),
        ("test.second", "b", 3),
    ]
    assert sum(row["bytes"] for row in stats) == sum(row["size_bytes"] for row in rows)
    assert min(row["oldest"] for row in stats) == min(row["stored_at"] for row in rows)
    assert world.core.cache.stats("other") == []


async def test_invalidations_at_once_are_all_recorded(world: World) -> None:
    await asyncio.gather(*(world.invalidate(f"key {number}") for number in range(20)))
    history = world.core.log.read(cache_stream(CALLER.tenant))
    assert [recorded.version for recorded in history] == list(range(1, 21))
