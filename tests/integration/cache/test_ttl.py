"""`ttlSeconds`: no tier answers with a result that is too old for its step; only updates and retries still reuse it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from uuid_utils import uuid7

from orchestrator.bootstrap.core import StoredArtifacts
from orchestrator.cache.answers import Answer, Entry, Granted, Hit, Question
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.hot_tier import HotTier
from orchestrator.cache.memory_tier import MemoryTier
from orchestrator.cache.step_cache import StepCache
from orchestrator.cache.tier import CacheTier
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.output import Output
from orchestrator.domain.workflow import CachePolicy
from orchestrator.skills import skill
from orchestrator.workflows import define, step
from tests.integration.cache.tiers import ColdShelf, question
from tests.world.core import World
from tests.world.work import at_work

TTL = 60
TENANT = "t"


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Shelf:
    """A step cache whose clock the test sets, with at most one fast tier, and ways to put results into it."""

    def __init__(self, world: World, fast: CacheTier | None) -> None:
        core, loop, self.clock = world.core, asyncio.get_running_loop(), Clock()
        self._cold, self._fast = ColdTier(core.database, "test"), fast
        self._shelf, self._database = ColdShelf(core), core.database
        self.cache = StepCache(
            core.database,
            self._cold,
            Flights(core.listener, loop),
            Epochs(core.database, self._cold, core.listener, loop, core.cache_counts),
            tiers=[] if fast is None else [fast],
            earlier=core.reader,
            check=StoredArtifacts(core.store),
            counts=core.cache_counts,
            clock=self.clock,
        )

    async def put_cold(self, asked: Question, value: str) -> int:
        """Store a result through the log, and return when it was stored."""
        await self._shelf.put(TENANT, {asked: Output(value)})
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT max(stored_at) AS at FROM step_cache WHERE key = %s", (asked.key,)
            ).fetchone()
        assert row is not None
        return int(row["at"])

    async def put_fast(self, asked: Question, value: str, stored_at: int | None) -> None:
        """Store a result in the fast tier only."""
        assert self._fast is not None
        epoch = await self._database.call(self._cold.epoch, TENANT)
        await self._fast.keep(TENANT, epoch, [(asked, Entry(asked.skill, str(uuid7()), Output(value), stored_at))])

    async def close(self) -> None:
        await self.cache.close()
        self._cold.close()

    async def ask(self, asked: Question, at: int) -> Answer:
        self.clock.now = at
        run_id = str(uuid7())
        (answer,) = await self.cache.consult(TENANT, run_id, [run_id], [asked])
        return answer


@pytest.fixture(params=["memory", "hot"])
async def fast(request: pytest.FixtureRequest) -> AsyncIterator[CacheTier]:
    if request.param == "memory":
        yield MemoryTier()
        return
    tier = HotTier(request.getfixturevalue("valkey").url, timeout_seconds=10.0)
    yield tier
    await tier.close()


@pytest.fixture
async def shelf(world: World, fast: CacheTier) -> AsyncIterator[Shelf]:
    """The cold tier with a fast one in front of it."""
    shelf = Shelf(world, fast)
    yield shelf
    await shelf.close()


@pytest.fixture
async def cold_shelf(world: World) -> AsyncIterator[Shelf]:
    """The cold tier alone."""
    shelf = Shelf(world, None)
    yield shelf
    await shelf.close()


def found(answer: Answer) -> tuple[str, Any] | None:
    return (answer.tier, answer.output.data) if isinstance(answer, Hit) else None


async def test_a_fast_tier_answers_until_the_result_is_too_old(shelf: Shelf, fast: CacheTier) -> None:
    asked = question("a", ttl_seconds=TTL)
    await shelf.put_fast(asked, "old", 1_000)
    assert found(await shelf.ask(asked, 1_000)) == (fast.name, "old")
    assert found(await shelf.ask(asked, 1_000 + TTL * 1000 - 1)) == (fast.name, "old")
    assert isinstance(await shelf.ask(asked, 1_000 + TTL * 1000), Granted)
    # a step without a limit takes it at any age, and one with a limit takes nothing of unknown age
    assert found(await shelf.ask(question("a"), 10**12)) == (fast.name, "old")
    await shelf.put_fast(question("b"), "undated", None)
    assert isinstance(await shelf.ask(question("b", ttl_seconds=TTL), 1_000), Granted)
    assert found(await shelf.ask(question("b"), 1_000)) == (fast.name, "undated")


async def test_the_cold_tier_answers_until_the_result_is_too_old_and_says_so(cold_shelf: Shelf) -> None:
    shelf, asked = cold_shelf, question("a", ttl_seconds=TTL)
    at = await shelf.put_cold(asked, "old")
    assert found(await shelf.ask(asked, at + TTL * 1000 - 1)) == ("cold", "old")
    late = await shelf.ask(asked, at + TTL * 1000)
    assert isinstance(late, Granted)
    assert (late.miss or "").endswith("is unusable: it is older than the step's ttlSeconds (60)")
    assert found(await shelf.ask(question("a"), 10**12)) == ("cold", "old")


async def test_a_newer_result_is_found_behind_older_ones(cold_shelf: Shelf) -> None:
    shelf, asked = cold_shelf, question("a", ttl_seconds=TTL)
    for number in range(6):
        at = await shelf.put_cold(asked, f"result {number}")
    assert found(await shelf.ask(asked, at)) == ("cold", "result 5")
    assert isinstance(await shelf.ask(asked, at + TTL * 1000), Granted)


async def test_a_copy_in_a_fast_tier_is_as_old_as_the_result(shelf: Shelf, fast: CacheTier) -> None:
    asked = question("a", ttl_seconds=TTL)
    at = await shelf.put_cold(asked, "old")
    assert found(await shelf.ask(asked, at + TTL * 1000 - 1)) == ("cold", "old")
    await shelf.cache.close()  # the copy has been written
    assert found(await shelf.ask(asked, at + TTL * 1000 - 1)) == (fast.name, "old")
    assert isinstance(await shelf.ask(asked, at + TTL * 1000), Granted)


async def test_a_fast_tier_that_is_out_of_date_does_not_hide_a_newer_result(shelf: Shelf, fast: CacheTier) -> None:
    asked = question("a", ttl_seconds=TTL)
    at = await shelf.put_cold(asked, "new")
    await shelf.put_fast(asked, "old", at - TTL * 1000)
    assert found(await shelf.ask(asked, at)) == ("cold", "new")


LIMITED = define(
    "test.limited",
    "1",
    [step("make", "test.make", input={"n": "trigger.n"}, cache=CachePolicy(ttl_seconds=TTL))],
    change_types={"again": ["make"]},
)


@skill("test.make")
async def make(given: dict[str, Any]) -> dict[str, Any]:
    return given


async def test_a_worker_dates_what_it_stores(world: World) -> None:
    await world.register(LIMITED)
    async with at_work(world.core, [make]):
        await world.run("test.limited", {"n": 1})
        second = await world.run("test.limited", {"n": 1})
    assert second.step("make").hit == "cache"
    assert world.core.cache_counts.hits["memory"] == 1


async def test_an_update_reuses_an_unchanged_result_at_any_age(world: World, cold_shelf: Shelf) -> None:
    await world.register(LIMITED)
    async with at_work(world.core, [make]):
        base = await world.run("test.limited", {"n": 1})
        await world.projected()
    state, shelf = base.step("make"), cold_shelf
    asked = Question(
        "make", state.cache_key or "", state.input_hash or "", "test.make@1", ttl_seconds=TTL, earlier_run=base.id
    )
    shelf.clock.now = 10**15
    answers: Sequence[Answer] = await shelf.cache.consult("default", str(uuid7()), [], [asked])
    assert [(one.tier, one.reason) for one in answers if isinstance(one, Hit)] == [("base", "unchanged")]
    async with at_work(world.core, [make]):
        update = await world.update(base, ChangeRequest("again", {}))
    assert update.step("make").hit == "unchanged"
