"""Buckets in a real Valkey: shared by processes, and no loss when it is unavailable."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from orchestrator.access.buckets import Bucket
from orchestrator.access.shared_buckets import SharedBuckets
from tests.servers import ValkeyServer

SLOW = Bucket("tenant:acme", rate=0.01, depth=5)


@pytest.fixture
async def pair(valkey: ValkeyServer) -> AsyncIterator[tuple[SharedBuckets, SharedBuckets]]:
    """As two processes have them."""
    both = SharedBuckets(valkey.url, 5.0), SharedBuckets(valkey.url, 5.0)
    yield both
    for buckets in both:
        await buckets.close()


async def test_two_processes_share_a_bucket(pair: tuple[SharedBuckets, SharedBuckets]) -> None:
    taken = await asyncio.gather(*(buckets.take([SLOW]) for _ in range(10) for buckets in pair))
    assert sum(seconds == 0 for seconds, _ in taken) == 5
    waits = [seconds for seconds, _ in taken if seconds]
    assert all(90 < seconds <= 100 for seconds in waits)


async def test_one_is_taken_from_all_or_from_none(pair: tuple[SharedBuckets, SharedBuckets]) -> None:
    small, large = Bucket("small", 0.01, 2), Bucket("large", 0.01, 10)
    taken = [await pair[0].take([large, small]) for _ in range(5)]
    assert [name for _, name in taken] == ["", "", "small", "small", "small"]
    assert sum([(await pair[1].take([large]))[0] == 0 for _ in range(20)]) == 8


async def test_a_bucket_fills_again(pair: tuple[SharedBuckets, SharedBuckets]) -> None:
    bucket = Bucket("quick", rate=10, depth=1)
    assert (await pair[0].take([bucket]))[0] == 0
    seconds, _ = await pair[0].take([bucket])
    assert 0 < seconds <= 0.1
    await asyncio.sleep(seconds + 0.01)  # the time itself is the subject: the bucket fills
    assert (await pair[1].take([bucket]))[0] == 0


async def test_when_it_is_away_each_process_counts_for_itself(valkey: ValkeyServer) -> None:
    buckets = SharedBuckets(valkey.url, 0.2)
    try:
        assert (await buckets.take([SLOW]))[0] == 0
        valkey.kill()
        begun = time.monotonic()
        taken = [await buckets.take([SLOW]) for _ in range(20)]
        assert time.monotonic() - begun < 5.0
        assert sum(seconds == 0 for seconds, _ in taken) == 5
    finally:
        await buckets.close()


async def test_many_at_once_are_counted_as_in_one_process(pair: tuple[SharedBuckets, SharedBuckets]) -> None:
    one, other = pair
    bucket = Bucket("tenant:batch", rate=0.01, depth=5)
    assert await one.take([bucket]) == (0, "")
    assert await one.take([bucket], 3, taken=1) == (0, "")
    seconds, name = await other.take([bucket], 3)
    assert 90 < seconds <= 100
    assert name == "tenant:batch"
    large = Bucket("tenant:large", rate=0.01, depth=5)
    assert await other.take([large]) == (0, "")
    assert await other.take([large], 1000, taken=1) == (0, "")
    seconds, _ = await one.take([large])
    assert 99_500 < seconds <= 99_600
