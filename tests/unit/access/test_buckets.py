"""A bucket lets a burst through, then so many a second, and takes from all of several buckets or from none."""

from orchestrator.access.buckets import Bucket, MemoryBuckets
from orchestrator.access.identity import Identity, Role
from orchestrator.access.rates import Rates


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


async def served(buckets: MemoryBuckets, *wanted: Bucket, times: int) -> int:
    return [(await buckets.take(wanted))[0] == 0 for _ in range(times)].count(True)


async def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket("a", rate=10, depth=5)
    assert await served(buckets, bucket, times=20) == 5
    clock.now += 0.3
    assert await served(buckets, bucket, times=20) == 3
    clock.now += 3600
    assert await served(buckets, bucket, times=20) == 5
    seconds, name = await buckets.take([bucket])
    assert (round(seconds, 6), name) == (0.1, "a")


async def test_a_shallow_bucket_still_holds_one() -> None:
    assert await served(MemoryBuckets(Clock()), Bucket("a", rate=0.1, depth=0.01), times=3) == 1


async def test_a_request_that_counts_as_many_takes_as_many() -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket("a", rate=10, depth=10)
    assert await buckets.take([bucket], 4) == (0, "")
    assert await buckets.take([bucket], 6) == (0, "")
    seconds, name = await buckets.take([bucket], 3)
    assert (round(seconds, 6), name) == (0.3, "a")
    clock.now += 0.3
    assert await buckets.take([bucket], 3) == (0, "")


async def test_more_than_a_bucket_holds_is_taken_when_it_is_full_and_paid_later() -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket("a", rate=10, depth=10)
    assert await buckets.take([bucket], 100) == (0, "")
    seconds, _ = await buckets.take([bucket])
    assert round(seconds, 6) == 9.1  # 90 of them were not there, and one is needed
    seconds, _ = await buckets.take([bucket], 100)
    assert round(seconds, 6) == 10.0
    clock.now += 10.0
    assert await buckets.take([bucket], 100) == (0, "")


async def test_what_was_counted_before_counts_once() -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket("a", rate=10, depth=10)
    for _ in range(2):
        assert await buckets.take([bucket]) == (0, "")
        assert await buckets.take([bucket], 50, taken=1) == (0, "")
        assert await buckets.take([bucket]) != (0, "")
        clock.now += 5.0
    assert await buckets.take([bucket]) == (0, "")
    assert await buckets.take([bucket], 5, taken=1) == (0, "")
    assert await buckets.take([bucket]) == (0, "")
    seconds, _ = await buckets.take([bucket], 50, taken=1)
    clock.now += seconds  # then it is served
    assert await buckets.take([bucket]) == (0, "")
    assert await buckets.take([bucket], 50, taken=1) == (0, "")


async def test_one_is_taken_from_all_or_from_none() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    small, large = Bucket("small", 1, 2), Bucket("large", 1, 10)
    assert await served(buckets, small, large, times=5) == 2
    assert (await buckets.take([small, large]))[1] == "small"
    assert await served(buckets, large, times=20) == 8


async def test_keys_have_their_own_rate_and_share_that_of_their_tenant() -> None:
    buckets = MemoryBuckets(Clock())
    rates = Rates(per_key=2, per_tenant=3, burst_seconds=1)

    def holder(number: int, tenant: str = "acme") -> Identity:
        return Identity(tenant, "x", Role.VIEWER, f"key:{number}")

    assert [(await rates.wait(buckets, holder(1)))[1] for _ in range(3)] == ["", "", "key"]
    assert [(await rates.wait(buckets, holder(2)))[1] for _ in range(2)] == ["", "tenant"]
    assert (await rates.wait(buckets, holder(1, "other")))[0] == 0
    assert not Rates(0, 0, 1)
