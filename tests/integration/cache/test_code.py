"""The code of a skill changed and its version did not: what a worker says, and what the cache makes of it."""

import logging
from pathlib import Path

import pytest

from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.working import check_code, load_skills
from orchestrator.cache.code_history import CodeHistory, has_changed
from orchestrator.settings import Settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.workflows import define, step
from tests.world.core import World, open_world, outputs
from tests.world.work import at_work

WORKFLOW = define("test.coded", "1", [step("make", "test.coded", input={"n": "trigger.n"})])
CHANGED = "code changed, but the version did not"


def written(folder: Path, name: str, made: int, version: str = "1") -> str:
    """Write a module with the skill, and return its path."""
    (folder / name).mkdir()
    path = folder / name / "skills.py"
    path.write_text(
        "from orchestrator import skill\n\n\n"
        f'@skill("test.coded", version="{version}")\n'
        f"def make(given: dict) -> dict:\n    return {{'made': {made}}}\n"
    )
    return str(path)


def loaded(world: World, source: str, *, develops: bool = False) -> SkillRegistry:
    return load_skills(world.core.settings.model_copy(update={"skills": (source,)}), develops=develops)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if CHANGED in record.getMessage()]
    caplog.clear()
    return found


async def test_a_worker_warns_once_when_code_changed_and_cached_results_are_of_other_code(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    old, new = (loaded(world, written(tmp_path, name, made)) for name, made in (("old", 1), ("new", 2)))
    await check_code(world.core, old)
    await check_code(world.core, new)
    assert warnings(caplog) == []  # nothing is cached
    await check_code(world.core, old)
    await world.register(WORKFLOW)
    async with at_work(world.core, old):
        first = await world.run("test.coded", {"n": 1})
    assert warnings(caplog) == []
    await check_code(world.core, new)
    (said,) = warnings(caplog)
    assert "earlier code are used: test.coded@1; change the version" in said
    assert "\n" not in said
    await check_code(world.core, new)
    assert warnings(caplog) == []
    async with at_work(world.core, new):
        second = await world.run("test.coded", {"n": 1})
    assert second.step("make").source_run == first.id, "the keys of production stay as they are"
    assert (await world.explain(second, "make")).reason == (
        "the cache had a result for this key; the code of test.coded@1 changed since then, but its version did not"
    )
    await check_code(world.core, loaded(world, written(tmp_path, "newer", 3, version="2")))
    assert warnings(caplog) == []


async def test_a_worker_looks_at_the_code_when_it_starts(world: World, tmp_path: Path) -> None:
    skills = loaded(world, written(tmp_path, "old", 1))
    await world.register(WORKFLOW)
    async with at_work(world.core, skills):
        await world.run("test.coded", {"n": 1})
        with world.core.database.connection() as connection:
            while not (rows := connection.execute("SELECT skill, length(code) AS length FROM skill_code").fetchall()):
                pass
    assert rows == [{"skill": "test.coded@1", "length": 12}]


async def test_while_developing_changed_code_is_another_version(world: World, tmp_path: Path) -> None:
    old, new = (loaded(world, written(tmp_path, name, made), develops=True) for name, made in (("old", 1), ("new", 2)))
    await world.register(WORKFLOW)
    async with at_work(world.core, old):
        first = await world.run("test.coded", {"n": 1})
        again = await world.run("test.coded", {"n": 1})
    assert again.step("make").hit == "cache"
    async with at_work(world.core, new):
        second = await world.run("test.coded", {"n": 1})
    made = [output.data for run in (first, second) for output in outputs(run).values()]
    assert made == [{"made": 1}, {"made": 2}]
    explained = await world.explain(second, "make")
    labels = [old.label("test.coded"), new.label("test.coded")]
    assert labels[0] != labels[1]
    assert [(one.field, one.before, one.after) for one in explained.differences] == [("skill", *labels)]
    assert str(labels[1]).startswith("test.coded@1+")
    with world.core.database.connection() as connection:
        assert connection.execute("SELECT FROM skill_code").fetchall() == []


@pytest.mark.parametrize(
    ("setting", "develops", "stamped"),
    [
        (None, False, False),
        (None, True, True),
        ("warn", True, False),
        ("off", True, False),
        ("version", False, True),
    ],
)
def test_the_setting_decides(tmp_path: Path, setting: str | None, develops: bool, stamped: bool) -> None:
    given = {} if setting is None else {"skill_fingerprint": setting}
    settings = Settings(skills=(written(tmp_path, "one", 1),), **given)  # type: ignore[arg-type]
    assert load_skills(settings, develops=develops).is_stamped == stamped


async def test_off_records_nothing(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path, skill_fingerprint="off") as world:
        await check_code(world.core, loaded(world, written(tmp_path, "old", 1)))
        with world.core.database.connection() as connection:
            assert connection.execute("SELECT FROM skill_code").fetchall() == []


async def test_a_database_without_the_table_costs_only_the_warning(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_core(Settings(database_url=database_url, data_dir=tmp_path)) as core:
        with core.database.connection() as connection:
            connection.execute("DROP TABLE orchestrator.skill_code")
        await check_code(core, loaded(World(core), written(tmp_path, "old", 1)))
    assert "code of skills not recorded" in caplog.text


def test_only_the_newest_changes_are_kept(world: World) -> None:
    history = CodeHistory(world.core.database)
    for number in range(130):
        history.record({"test.coded@1": f"code {number}", "test.other@1": "same"}, 1000 + number)
    seen = history.changes(["test.coded", "test.other"])
    assert list(seen) == ["test.coded@1"]
    assert [at for at, _ in seen["test.coded@1"]] == list(range(1030, 1130))
    assert history.changes(["test"]) == {}


def test_code_of_before_the_first_record_is_unknown() -> None:
    history = [(10, "a"), (20, "b"), (30, "a")]
    asked = [(5, 15), (5, 25), (10, 19), (10, 20), (10, 30), (25, 35), (31, 40)]
    assert [has_changed(history, *times) for times in asked] == [False, False, False, True, False, True, False]
