"""What the step cache does is counted and told: hits by tier, misses, what is stored, promoted, withdrawn, unusable."""

import logging
from collections import Counter
from typing import Any

import pytest

from orchestrator.domain.run import Run
from orchestrator.skills import StepContext, skill
from orchestrator.workflows import define, step
from tests.servers import ValkeyServer
from tests.waiting import until
from tests.world.core import World, outputs
from tests.world.work import at_work

WORKFLOW = define("test.told", "1", [step("draw", "test.draw", input={"brief": "trigger.brief"})])


@skill("test.draw")
async def draw(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    ctx.artifact(str(given["brief"]).encode(), type="text/plain", filename="a.txt")
    return {}


async def test_everything_that_happens_is_counted_and_told(
    hot_world: World, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "orchestrator.cache")
    world, counts = hot_world, hot_world.core.cache_counts

    async def run() -> Run:
        return await world.run("test.told", {"brief": "x"})

    await world.register(WORKFLOW)
    async with at_work(world.core, [draw]):
        first = await run()  # made
        await run()  # in memory
        await world.invalidate(workflow="test.told")
        await until(lambda: counts.invalidated, 30, "the invalidation is counted")
        await run()  # made again
    async with at_work(world.core, [draw]):
        await run()  # in Valkey, promoted to memory
    valkey.flush()
    async with at_work(world.core, [draw]):
        await run()  # in Postgres, promoted to Valkey and memory
        path = world.core.store.local_path(outputs(first)["draw"].artifacts[0])
        assert path is not None
        path.unlink()
        await run()  # unusable in memory and in Valkey or Postgres: made once more
    assert counts.hits == {"memory": 1, "hot": 1, "cold": 1}
    assert (counts.misses, counts.stored, counts.promoted, counts.invalidated) == (3, 3, 2, 1)
    assert counts.corrupt >= 1
    said: Counter[tuple[str, Any]] = Counter(
        (record.message, getattr(record, "tier", None)) for record in caplog.records
    )
    assert said == {
        ("not in the cache", None): 3,
        ("stored in the cache", None): 3,
        ("promoted in the cache", None): 2,
        ("found in the cache", "memory"): 1,
        ("found in the cache", "hot"): 1,
        ("found in the cache", "cold"): 1,
        ("cached results invalidated", None): 1,
        ("cached result unusable", None): counts.corrupt,
    }
    key = first.step("draw").cache_key
    assert {record.__dict__.get("cache_key", key) for record in caplog.records} == {key}
