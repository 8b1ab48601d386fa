"""A cache that is bounded by weight."""

from orchestrator.workflows.weighted_cache import WeightedCache


def test_what_was_used_longest_ago_makes_room() -> None:
    cache: WeightedCache[str, str] = WeightedCache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert [cache.get(key) for key in "abc"] == ["A", None, "C"]
    assert cache.weight == 8


def test_one_heavy_entry_makes_many_light_ones_go_and_a_heavier_one_is_not_kept() -> None:
    cache: WeightedCache[int, str] = WeightedCache(10)
    for number in range(10):
        cache.put(number, "light", 1)
    cache.put(10, "heavy", 9)
    assert (len(cache), cache.weight) == (2, 10)
    cache.put(10, "too heavy", 11)
    assert cache.get(10) is None
    assert (len(cache), cache.weight) == (1, 1)


def test_an_entry_that_is_put_again_counts_once() -> None:
    cache: WeightedCache[str, int] = WeightedCache(10)
    for number in range(5):
        cache.put("a", number, 3)
    assert (cache.get("a"), cache.weight, len(cache)) == (4, 3, 1)


def test_entries_are_bounded_too() -> None:
    cache: WeightedCache[int, int] = WeightedCache(10, max_entries=3)
    for number in range(5):
        cache.put(number, number, 0)
    assert [cache.get(number) for number in range(5)] == [None, None, 2, 3, 4]
