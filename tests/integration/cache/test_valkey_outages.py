"""Valkey killed, hung, flushed, filled with rubbish and restarted while 200 runs go on: the same, only slower (R9)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import pytest
import redis.asyncio

from orchestrator.application.clock import now
from orchestrator.bootstrap.core import Outputs, StoredArtifacts
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_executor
from orchestrator.cache.cold_tier import ColdTier
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.epochs import Epochs
from orchestrator.cache.flights import Flights
from orchestrator.cache.hot_tier import HotTier
from orchestrator.cache.step_cache import StepCache
from orchestrator.domain.output import Output
from orchestrator.domain.run import Run
from orchestrator.skills import SkillRegistry, StepContext, skill
from orchestrator.workers.claims import Claims
from orchestrator.workers.services import WorkerServices
from orchestrator.workers.worker import Worker, new_identity
from orchestrator.workflows import define, step
from tests.servers import ValkeyServer
from tests.waiting import until
from tests.world.core import World, outputs

LIMIT = 0.25
SLACK = 0.75  # the loop of a busy machine may be late by so much
T = TypeVar("T")

WORKFLOW = define(
    "test.outages",
    "1",
    [
        step("plan", "test.plan", input={"n": "trigger.n"}),
        *(
            step(f"draw{i}", "test.draw", ["plan"], input={"seed": "steps.plan.data.seed", "i": f"`{i}`"})
            for i in range(3)
        ),
        step("bind", "test.plan", [f"draw{i}" for i in range(3)], input={"n": "steps.draw0.data.x"}),
    ],
)
STEPS = len(WORKFLOW.steps)


class TimedTier(HotTier):
    """A hot tier that notes how long each call to Valkey took, and whether the breaker was open after it."""

    def __init__(self, url: str, counts: CacheCounts) -> None:
        super().__init__(url, timeout_seconds=LIMIT, counts=counts)
        self.took: list[float] = []
        self.opened = False

    async def _asked(self, call: Awaitable[T]) -> T | None:
        started = time.monotonic()
        try:
            return await super()._asked(call)
        finally:
            self.took.append(time.monotonic() - started)
            self.opened |= self.breaker.is_open


@asynccontextmanager
async def worker_with(world: World, tier: TimedTier, skills: SkillRegistry) -> AsyncIterator[None]:
    """A worker whose cache has no tier in the process, so that every question reaches Valkey."""
    core, loop = world.core, asyncio.get_running_loop()
    identity = new_identity(core.settings.lease_seconds)
    cold = ColdTier(core.database, identity.id)
    cache = StepCache(
        core.database,
        cold,
        Flights(core.listener, loop),
        Epochs(core.database, cold, core.listener, loop, core.cache_counts),
        tiers=[tier],
        earlier=core.reader,
        check=StoredArtifacts(core.store),
        counts=core.cache_counts,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(open_projector(core))
        executor = await stack.enter_async_context(open_executor(core.settings, skills, core.store))
        source = Outputs(core.database, core.reader, core.store)
        around = WorkerServices(identity.id, core.runs, executor, cache, source, now)
        claims = Claims(core.database, core.log.mapper, core.runs, identity)
        worker = Worker(identity, around, claims, core.listener, asyncio.get_running_loop(), skills=skills.ids)
        working = asyncio.create_task(worker.work())
        try:
            yield
        finally:
            await worker.stop(10)
            await working
            await cache.close()
            await tier.close()


async def fill_with_rubbish(valkey: ValkeyServer) -> int:
    """Replace every value by one that is not ours, some of another type; how many there were."""
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        keys = await client.keys("*")
        for number, key in enumerate(keys):
            await client.delete(key)
            if number % 3 == 0:
                await client.hset(key, "a", "b")
            else:
                await client.set(key, b"\x80rubbish" * number)
        return len(keys)


@pytest.mark.chaos
async def test_whatever_happens_to_valkey_the_runs_come_out_the_same(world: World, valkey: ValkeyServer) -> None:
    calls: Counter[str] = Counter()

    @skill("test.plan")
    async def plan(given: dict[str, Any]) -> dict[str, Any]:
        calls["plan"] += 1
        await asyncio.sleep(0.01)
        return {"seed": given["n"] * 7}

    @skill("test.draw")
    async def draw(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
        calls["draw"] += 1
        ctx.artifact(f"{given['seed']} {given['i']}".encode(), type="text/plain")
        return {"x": given["seed"] + given["i"]}

    async def twenty() -> list[Run]:
        return await asyncio.gather(*(world.run(WORKFLOW.name, {"n": n}) for n in range(20)))

    async def filled() -> None:
        """Return once Valkey has every result: a machine that stands still for a moment counts as an outage too."""
        async with redis.asyncio.Redis.from_url(valkey.url) as client:

            async def has_all() -> bool:
                return await client.dbsize() >= 20 * STEPS or not await twenty()

            await until(has_all, 30, "Valkey has every result")

    await world.register(WORKFLOW)
    counts = world.core.cache_counts
    tier = TimedTier(valkey.url, counts)
    async with worker_with(world, tier, SkillRegistry([plan, draw])):
        made = await twenty()
        runs = list(made)
        await filled()
        counts.hits.clear()
        runs += await twenty()
        assert counts.hits["hot"] == 20 * STEPS  # it is used while it is well
        valkey.flush()
        runs += await twenty()
        await filled()
        assert await fill_with_rubbish(valkey) >= 20 * STEPS
        runs += await twenty()
        assert counts.corrupt > 0
        under_way = asyncio.create_task(twenty())
        await asyncio.sleep(0.02)  # the time itself is the subject: in the midst of the runs
        valkey.kill()
        runs += await under_way
        runs += await twenty()
        valkey.start()
        runs += await twenty()
        under_way = asyncio.create_task(twenty())
        await asyncio.sleep(0.02)  # the time itself is the subject: in the midst of the runs
        valkey.pause()
        runs += await under_way
        tier.opened = False
        asked = len(tier.took)
        runs += await twenty()
        assert tier.opened
        assert (
            sum(seconds > LIMIT / 2 for seconds in tier.took[asked:]) <= 3
        )  # left alone, but for a trial now and then
        valkey.resume()
        runs += await twenty()

        async def is_used_again() -> bool:
            await world.run(WORKFLOW.name, {"n": 0})
            return not tier.breaker.is_open

        await until(is_used_again, 30, "Valkey is used again")
        counts.hits.clear()
        await world.run(WORKFLOW.name, {"n": 0})  # promoted, if it was not there
        await world.run(WORKFLOW.name, {"n": 0})
        assert counts.hits["hot"] >= STEPS
    assert len(runs) == 200
    assert [run.status for run in runs] == ["completed"] * 200
    expected: dict[int, dict[str, Output]] = {run.trigger.payload["n"]: outputs(run) for run in made}
    assert all(outputs(run) == expected[run.trigger.payload["n"]] for run in runs)
    assert calls == {"plan": 40, "draw": 60}  # each result was made once
    assert max(tier.took) < LIMIT + SLACK
