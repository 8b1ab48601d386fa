"""Runs that hold what only a newer program knows are left alone, whatever their row in the queue says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from orchestrator.application.caller import Caller
from orchestrator.bootstrap.showing import build_projector, open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.errors import NeedsNewerProgram
from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.sql import load_sql
from tests.integration.workers.site import Journal, Site, open_site, step, workflow
from tests.waiting import until

SQL = load_sql(__file__)
ONE = workflow("one", step("a"))


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


def rows(site: Site, statement: str, **given: Any) -> list[dict[str, Any]]:
    with site.core.database.connection() as connection:
        return connection.execute(statement, given).fetchall()


def append_unknown(site: Site, run_id: str, version: int) -> None:
    """Append what a newer program might, without a word to the queue."""
    state = orjson.dumps({"tenant": "default", "actor": "newer", "data": {"at": 1}})
    site.core.log.recorder.insert_events([StoredEvent(UUID(run_id), version, "RunPaused", state)])


async def test_a_worker_gives_back_what_it_does_not_know_and_claims_it_no_more(site: Site) -> None:
    await site.register(ONE)
    unknown = await site.trigger("one")
    append_unknown(site, unknown, 2)
    async with open_worker(site.core, Journal().registry()):
        known = await site.trigger("one")
        assert (await site.finished(known)).status == "completed"
        free = [{"run_id": unknown, "format": FORMAT + 1, "owner": None}]
        await until(lambda: rows(site, SQL.queue), 30, "it is given back", right=lambda queue: queue == free)
        assert (await site.run("one")).status == "completed"
    assert [row["topic"] for row in rows(site, SQL.topics, run_id=unknown)] == ["RunTriggered", "RunPaused"]


async def test_a_row_of_an_unknown_format_is_not_claimed(site: Site) -> None:
    await site.register(ONE)
    newer = await site.trigger("one")
    rows(site, SQL.raise_format, run_id=newer, format=FORMAT + 1)
    async with open_worker(site.core, Journal().registry()):
        assert (await site.run("one")).status == "completed"
    assert site.queue() == {newer: None}
    rows(site, SQL.raise_format, run_id=newer, format=FORMAT)
    async with open_worker(site.core, Journal().registry()):
        assert (await site.finished(newer)).status == "completed"


async def test_commands_on_such_a_run_are_refused(site: Site) -> None:
    await site.register(ONE)
    unknown = await site.trigger("one")
    append_unknown(site, unknown, 2)
    with pytest.raises(NeedsNewerProgram, match="unknown event 'RunPaused'"):
        await site.core.commands.cancel(Caller("default", "ann"), unknown)


async def test_a_projector_stands_back_and_stops_nothing(site: Site) -> None:
    await site.register(ONE)
    known = await site.trigger("one")
    unknown = await site.trigger("one")
    before = site.core.log.last_position()
    append_unknown(site, unknown, 2)
    await site.trigger("one")
    projector = build_projector(site.core)
    while projector.project_batch():
        pass
    standings = {
        one.name: (one.position, one.state) for one in site.core.read_models.standings() if one.kind == "async"
    }
    assert set(standings.values()) == {(before, "live")}
    assert site.core.reader.run("default", known)["status"] == "queued"
    assert site.core.reader.lag()[:2] == (before, before + 2)
    assert site.core.read_models.verify("runs").differing == 0, "up to where they are, the rows are right"
    with open_projector(site.core):
        pass  # it stands back too, and ends as any other


async def test_the_queue_is_compared_without_such_runs(site: Site) -> None:
    await site.register(ONE)
    unknown, known = await site.trigger("one"), await site.trigger("one")
    append_unknown(site, unknown, 2)
    rows(site, SQL.raise_format, run_id=unknown, format=FORMAT + 1)
    assert site.core.read_models.verify("run_queue").differing == 0
    rows(site, SQL.raise_format, run_id=known, format=FORMAT - 1)
    report = site.core.read_models.rebuild("run_queue")
    assert [(one.key, one.columns) for one in report.differences] == [(known, {"format": (FORMAT - 1, FORMAT)})]
    assert {row["run_id"]: row["format"] for row in rows(site, SQL.queue)} == {unknown: FORMAT + 1, known: FORMAT}
