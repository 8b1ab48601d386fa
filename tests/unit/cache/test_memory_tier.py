"""What the tier in the process forgets; what it keeps is in the suite of all tiers."""

from orchestrator.cache.answers import Entry, Question
from orchestrator.cache.memory_tier import MemoryTier
from orchestrator.domain.output import Output

LETTERS = "abcdefghij"


def asked(key: str) -> Question:
    return Question("step", key, "hash", "skill@1")


async def keep(tier: MemoryTier, key: str, size: int = 1000) -> None:
    await tier.keep("t", 1, [(asked(key), Entry("skill@1", "run", Output(key * size)))])


async def kept(tier: MemoryTier) -> str:
    return "".join(await tier.find("t", 1, [asked(key) for key in LETTERS]))


async def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    tier = MemoryTier(max_bytes=8_000)  # room for five
    for key in "abcde":
        await keep(tier, key)
    assert await kept(tier) == "abcde"
    await tier.find("t", 1, [asked("a")])
    await keep(tier, "f")
    assert await kept(tier) == "acdef"


async def test_keeping_again_takes_no_more_room() -> None:
    tier = MemoryTier(max_bytes=8_000)
    await keep(tier, "a")
    for _ in range(100):
        await keep(tier, "b")
    assert await kept(tier) == "ab"


async def test_one_large_result_pushes_out_many_small_ones_and_a_larger_one_is_not_kept() -> None:
    tier = MemoryTier(max_bytes=8_000)
    for key in "abcde":
        await keep(tier, key)
    await keep(tier, "f", 6_000)
    assert await kept(tier) == "f"
    await keep(tier, "g", 10_000)
    assert await kept(tier) == ""
    await keep(tier, "h")
    assert await kept(tier) == "h"
