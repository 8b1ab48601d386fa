"""The hot tier when Valkey is not what it should be: it finds nothing, in time, and leaves a dead server alone."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest
import redis

from orchestrator.cache.answers import Entry
from orchestrator.cache.breaker import Breaker
from orchestrator.cache.counts import CacheCounts
from orchestrator.cache.hot_tier import HotTier
from orchestrator.domain.output import Output
from tests.integration.cache.tiers import question
from tests.servers import ValkeyServer

LIMIT = 0.25
SLACK = 3.0  # for a machine that is busy with other things
ASKED = question("workflow:step:hash")
MADE = (ASKED, Entry(ASKED.skill, "run", Output({"x": 1})))
NAME = "orchestrator:t:1:workflow:step:hash"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts() -> CacheCounts:
    return CacheCounts()


@pytest.fixture
async def tier(valkey: ValkeyServer, clock: Clock, counts: CacheCounts) -> AsyncIterator[HotTier]:
    tier = HotTier(valkey.url, ttl_seconds=100, timeout_seconds=LIMIT, counts=counts, breaker=Breaker(clock))
    yield tier
    await tier.close()


@pytest.fixture
def beside(valkey: ValkeyServer) -> Iterator["redis.Redis"]:
    """Somebody else who uses the same Valkey."""
    with redis.Redis.from_url(valkey.url, socket_timeout=10) as client:
        yield client


async def found(tier: HotTier) -> bool:
    return bool(await tier.find("t", 1, [ASKED]))


async def timed(call: Awaitable[Any]) -> tuple[Any, float]:
    started = time.monotonic()
    answer = await call
    return answer, time.monotonic() - started


async def test_an_entry_lives_as_long_as_its_step_says(tier: HotTier, beside: "redis.Redis") -> None:
    await tier.keep("t", 1, [MADE, (question("short", ttl_seconds=3), MADE[1])])
    assert 95_000 < int(str(beside.pttl(NAME))) <= 100_000
    assert 0 < int(str(beside.pttl("orchestrator:t:1:short"))) <= 3_000


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"rubbish",
        b"\x00" * 500,
        b'{"skill": "test.make@1", "run": "run", "output": {"data": 1}}',
        b"\x00" * 32 + b'{"skill": "test.make@1", "run": "run", "output": {"data": 1}}',
    ],
)
async def test_a_foreign_value_is_none_of_ours(
    tier: HotTier, beside: "redis.Redis", counts: CacheCounts, caplog: pytest.LogCaptureFixture, foreign: bytes
) -> None:
    beside.set(NAME, foreign)
    assert not await found(tier)
    assert counts.corrupt == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert NAME in caplog.text
    await tier.keep("t", 1, [MADE])
    assert await found(tier)


async def test_a_damaged_value_is_none_of_ours(tier: HotTier, beside: "redis.Redis", counts: CacheCounts) -> None:
    await tier.keep("t", 1, [MADE])
    whole = beside.get(NAME)
    assert isinstance(whole, bytes)
    for damaged in (whole[:-1], whole[1:], whole[:20], whole + b" ", whole.replace(b'"x"', b'"y"')):
        beside.set(NAME, damaged)
        assert not await found(tier)
    assert counts.corrupt == 5
    beside.set(NAME, whole)
    assert await found(tier)


async def test_a_value_of_ours_counts_under_its_own_key_alone(tier: HotTier, beside: "redis.Redis") -> None:
    await tier.keep("t", 1, [MADE])
    whole = beside.get(NAME)
    assert isinstance(whole, bytes)
    beside.set("orchestrator:t:1:other", whole)
    beside.set("orchestrator:u:1:workflow:step:hash", whole)
    assert not await tier.find("t", 1, [question("other")])
    assert not await tier.find("u", 1, [ASKED])


async def test_a_key_of_another_kind_is_replaced(tier: HotTier, beside: "redis.Redis") -> None:
    beside.hset(NAME, "a", "b")
    assert not await found(tier)
    await tier.keep("t", 1, [MADE])
    assert await found(tier)


async def test_after_a_flush_nothing_is_there(tier: HotTier, valkey: ValkeyServer) -> None:
    await tier.keep("t", 1, [MADE])
    valkey.flush()
    assert not await found(tier)
    assert not tier.breaker.is_open


async def test_a_restart_in_between_costs_no_call(tier: HotTier, valkey: ValkeyServer) -> None:
    await tier.keep("t", 1, [MADE])
    valkey.kill()
    valkey.start()
    await tier.keep("t", 1, [MADE])  # on a new connection: the old one was closed
    assert await found(tier)


async def test_a_hung_server_is_waited_for_no_longer_than_the_limit(tier: HotTier, valkey: ValkeyServer) -> None:
    await tier.keep("t", 1, [MADE])
    valkey.pause()
    for call in (tier.find("t", 1, [ASKED]), tier.keep("t", 1, [MADE]), tier.find("t", 1, [ASKED])):
        answer, seconds = await timed(call)
        assert not answer
        assert LIMIT * 0.9 < seconds < LIMIT + SLACK
    valkey.resume()


async def test_many_calls_on_a_hung_server_wait_side_by_side(tier: HotTier, valkey: ValkeyServer) -> None:
    valkey.pause()
    answers, seconds = await timed(asyncio.gather(*(tier.find("t", 1, [ASKED]) for _ in range(100))))
    assert not any(answers)
    assert seconds < LIMIT + SLACK
    valkey.resume()


async def test_a_server_that_is_late_answers_no_later_question(tier: HotTier, valkey: ValkeyServer) -> None:
    await tier.keep("t", 1, [MADE, (question("a"), Entry(ASKED.skill, "run a", Output("a")))])
    valkey.pause()
    assert not await tier.find("t", 1, [question("a")])
    valkey.resume()
    found = await tier.find("t", 1, [ASKED, question("b")])
    assert {key: entry.output for key, entry in found.items()} == {ASKED.key: Output({"x": 1})}


async def test_a_dead_server_is_left_alone_and_asked_again_later(
    tier: HotTier, valkey: ValkeyServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orchestrator")
    await tier.keep("t", 1, [MADE])
    valkey.pause()
    for _ in range(3):
        assert not await found(tier)
    assert tier.breaker.is_open
    # not asked at all now
    for call in (tier.find("t", 1, [ASKED]), tier.keep("t", 1, [MADE])):
        assert (await timed(call))[1] < LIMIT * 0.5
    # after the rest one call tries, the others go on without
    clock.now += 1.01
    answers = await asyncio.gather(*(timed(tier.find("t", 1, [ASKED])) for _ in range(20)))
    assert sorted(seconds > LIMIT * 0.9 for _, seconds in answers) == [False] * 19 + [True]
    # then it rests twice as long
    clock.now += 1.5
    assert (await timed(found(tier)))[1] < LIMIT * 0.5
    valkey.resume()
    clock.now += 0.6
    assert await found(tier)
    assert not tier.breaker.is_open
    assert await found(tier)
    said = [record.message.split(":")[0] for record in caplog.records]
    assert said == ["hot tier unavailable, requests paused", "hot tier available again"]


async def test_a_server_that_is_not_there_is_no_error(tmp_path: Any) -> None:
    tier = HotTier(f"unix://{tmp_path}/nothing.sock")
    await tier.keep("t", 1, [MADE])
    assert not await found(tier)
    await tier.close()
