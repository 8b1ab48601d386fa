"""What every tier does: one suite for the tier in the process, the one in Valkey and the one in Postgres."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.cache.memory_tier import MemoryTier
from orchestrator.domain.output import Artifact, Output, artifact_id
from tests.integration.cache.tiers import ColdShelf, QuickShelf, Shelf, question

PICTURE = Artifact(artifact_id("t", "ab", "image/png"), "image/png", "file:///a/b", "ab", 12, "a.png", {"w": 1.5})
LINK = Artifact(artifact_id("t", "", "text/html"), "text/html", "https://127.0.0.1/x", "", -1)
OUTPUTS = [
    Output(None),
    Output({}),
    Output([1, 1.0, 1e20, 1e300, -0.0, 5e-324, 2**53 - 1, True, None, 'é\u2028\U0001f600 \\ "']),
    Output({"b": {"deep": [{}]}, "a": "x" * 30_000}),
    Output({"z": 1, "a": 2}, (PICTURE, LINK)),
    Output(None, (), PICTURE),
]


@pytest.fixture(params=["memory", "hot", "cold"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    if request.param == "cold":
        yield ColdShelf(request.getfixturevalue("world").core)
        return
    if request.param == "memory":
        yield QuickShelf(MemoryTier())
        return
    from orchestrator.cache.hot_tier import HotTier

    tier = HotTier(request.getfixturevalue("valkey").url, timeout_seconds=10.0)
    yield QuickShelf(tier)
    await tier.close()


async def test_nothing_is_found_where_nothing_was_kept(shelf: Shelf) -> None:
    assert await shelf.find("t", [question("a"), question("b")]) == {}
    assert await shelf.find("t", []) == {}


async def test_what_was_kept_is_found_whole(shelf: Shelf) -> None:
    kept = {question(f"key {number}"): output for number, output in enumerate(OUTPUTS)}
    makers = await shelf.put("t", kept)
    found = await shelf.find("t", list(kept))
    for asked, output in kept.items():
        entry = found[asked.key]
        assert entry.output == output
        assert repr(entry.output) == repr(output)  # 1.0 is not 1 here, nor is true
        assert (entry.skill, entry.source_run) == ("test.make@1", makers[asked.key])


async def test_only_what_was_asked_for_is_found(shelf: Shelf) -> None:
    await shelf.put("t", {question(f"key {number}"): Output(number) for number in range(300)})
    asked = [question(f"key {number}") for number in range(299, -1, -3)]
    found = await shelf.find("t", [question("other"), *asked])
    assert {key: entry.output.data for key, entry in found.items()} == {
        f"key {number}": number for number in range(299, -1, -3)
    }


async def test_other_tenants_find_nothing(shelf: Shelf) -> None:
    await shelf.put("t", {question("a"): Output(1)})
    await shelf.put("u", {question("b"): Output(2)})
    assert await shelf.find("u", [question("a")]) == {}
    assert (await shelf.find("u", [question("b")]))["b"].output == Output(2)


async def test_another_version_of_the_skill_finds_nothing(shelf: Shelf) -> None:
    await shelf.put("t", {question("a"): Output(1)})
    assert await shelf.find("t", [question("a", "test.make@2")]) == {}
    assert "a" in await shelf.find("t", [question("a")])


async def test_the_newest_result_is_found(shelf: Shelf) -> None:
    await shelf.put("t", {question("a"): Output("old")})
    newest = await shelf.put("t", {question("a"): Output("new")})
    entry = (await shelf.find("t", [question("a")]))["a"]
    assert (entry.output.data, entry.source_run) == ("new", newest["a"])


async def test_after_an_invalidation_only_what_came_later_is_found(shelf: Shelf) -> None:
    await shelf.put("t", {question("a"): Output(1), question("b"): Output(2)})
    await shelf.invalidate("t")
    assert await shelf.find("t", [question("a"), question("b")]) == {}
    await shelf.put("t", {question("a"): Output(3)})
    assert {key: entry.output for key, entry in (await shelf.find("t", [question("a"), question("b")])).items()} == {
        "a": Output(3)
    }


async def test_who_is_given_a_result_cannot_change_it(shelf: Shelf) -> None:
    await shelf.put("t", {question("a"): Output({"list": [1]})})
    (await shelf.find("t", [question("a")]))["a"].output.data["list"].append(2)
    assert (await shelf.find("t", [question("a")]))["a"].output == Output({"list": [1]})


async def test_who_made_a_result_cannot_change_it_later(shelf: Shelf) -> None:
    made = {"list": [1]}
    await shelf.put("t", {question("a"): Output(made)})
    made["list"].append(2)
    assert (await shelf.find("t", [question("a")]))["a"].output == Output({"list": [1]})
