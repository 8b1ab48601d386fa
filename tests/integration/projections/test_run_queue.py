"""The run queue follows from the log: what is missing, foreign or altered in it is found and put right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.application.core import Core
from orchestrator.bootstrap.working import open_worker
from orchestrator.postgres.sql import load_sql
from tests.integration.projections.test_read_models import make_history
from tests.world.core import World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
HELD = workflow("held", step("a"))


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


def change(core: Core, statement: str, **values: Any) -> None:
    with psycopg.connect(core.database.conninfo, autocommit=True) as connection:
        assert connection.execute(statement, values).rowcount > 0


def queue(core: Core) -> list[Any]:
    with psycopg.connect(core.database.conninfo) as connection:
        return connection.execute(SQL.queue).fetchall()


async def test_the_queue_is_what_the_log_says(world: World) -> None:
    *_, rare, _, _, _, queued = await make_history(world)
    assert {run_id for run_id, *_ in queue(world.core)} == {rare, queued}
    assert world.core.read_models.verify("run_queue").differing == 0
    change(world.core, SQL.claim, run_id=queued)  # a claim is the worker's own business
    assert world.core.read_models.verify("run_queue").differing == 0


async def test_damage_is_named_and_put_right(world: World) -> None:
    *_, rare, _, _, _, queued = await make_history(world)
    right = queue(world.core)
    change(world.core, SQL.forget, run_id=queued)
    change(world.core, SQL.alter, run_id=rare)
    change(world.core, SQL.add_foreign)
    report = world.core.read_models.verify("run_queue")
    assert {one.kind: one.key for one in report.differences} == {
        "missing": queued,
        "changed": rare,
        "extra": "00000000-0000-0000-0000-000000000001",
    }
    (changed,) = [one for one in report.differences if one.kind == "changed"]
    assert changed.columns == {"priority": (7, 0), "blocked_on": (["nobody"], ["test.rare"])}
    assert world.core.read_models.rebuild("run_queue").differing == 3
    assert queue(world.core) == right


async def test_an_empty_queue_is_filled_in_the_order_of_the_log_and_workers_wake(world: World) -> None:
    await world.register(HELD)
    run_ids = [await world.trigger("held") for _ in range(5)]
    async with open_worker(world.core, Journal().registry("test.other")):
        await world.reached(run_ids[0], "blocked")
    change(world.core, SQL.forget_all)
    assert world.core.read_models.rebuild("run_queue").differing == 5
    assert [run_id for run_id, *_ in queue(world.core)] == run_ids
    async with open_worker(world.core, Journal().registry()):
        assert {run.status for run in await world.all_finished(run_ids)} == {"completed"}
    assert queue(world.core) == []
