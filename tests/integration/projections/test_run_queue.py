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
from tests.integration.workers.site import Journal, Site, open_site, step, workflow

SQL = load_sql(__file__)
HELD = workflow("held", step("a"))


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


def change(core: Core, statement: str, **values: Any) -> None:
    with psycopg.connect(core.database.conninfo, autocommit=True) as connection:
        assert connection.execute(statement, values).rowcount > 0


def queue(core: Core) -> list[Any]:
    with psycopg.connect(core.database.conninfo) as connection:
        return connection.execute(SQL.queue).fetchall()


async def test_the_queue_is_what_the_log_says(site: Site) -> None:
    *_, rare, _, _, _, queued = await make_history(site)
    assert {run_id for run_id, *_ in queue(site.core)} == {rare, queued}
    assert site.core.read_models.verify("run_queue").differing == 0
    change(site.core, SQL.claim, run_id=queued)  # a claim is the worker's own business
    assert site.core.read_models.verify("run_queue").differing == 0


async def test_damage_is_named_and_put_right(site: Site) -> None:
    *_, rare, _, _, _, queued = await make_history(site)
    right = queue(site.core)
    change(site.core, SQL.forget, run_id=queued)
    change(site.core, SQL.alter, run_id=rare)
    change(site.core, SQL.add_foreign)
    report = site.core.read_models.verify("run_queue")
    assert {one.kind: one.key for one in report.differences} == {
        "missing": queued,
        "changed": rare,
        "extra": "00000000-0000-0000-0000-000000000001",
    }
    (changed,) = [one for one in report.differences if one.kind == "changed"]
    assert changed.columns == {"priority": (7, 0), "blocked_on": (["nobody"], ["test.rare"])}
    assert site.core.read_models.rebuild("run_queue").differing == 3
    assert queue(site.core) == right


async def test_an_empty_queue_is_filled_in_the_order_of_the_log_and_workers_wake(site: Site) -> None:
    await site.register(HELD)
    run_ids = [await site.trigger("held") for _ in range(5)]
    async with open_worker(site.core, Journal().registry("test.other")):
        await site.reached(run_ids[0], "blocked")
    change(site.core, SQL.forget_all)
    assert site.core.read_models.rebuild("run_queue").differing == 5
    assert [run_id for run_id, *_ in queue(site.core)] == run_ids
    async with open_worker(site.core, Journal().registry()):
        assert {run.status for run in await site.all_finished(run_ids)} == {"completed"}
    assert queue(site.core) == []
