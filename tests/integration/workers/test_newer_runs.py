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
from tests.waiting import until
from tests.world.core import World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
ONE = workflow("one", step("a"))


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


def rows(world: World, statement: str, **given: Any) -> list[dict[str, Any]]:
    with world.core.database.connection() as connection:
        return connection.execute(statement, given).fetchall()


def append_unknown(world: World, run_id: str, version: int) -> None:
    """Append what a newer program might, without a word to the queue."""
    state = orjson.dumps({"tenant": "default", "actor": "newer", "data": {"at": 1}})
    world.core.log.recorder.insert_events([StoredEvent(UUID(run_id), version, "RunPaused", state)])


async def test_a_worker_gives_back_what_it_does_not_know_and_claims_it_no_more(world: World) -> None:
    await world.register(ONE)
    unknown = await world.trigger("one")
    append_unknown(world, unknown, 2)
    async with open_worker(world.core, Journal().registry()):
        known = await world.trigger("one")
        assert (await world.finished(known)).status == "completed"
        free = [{"run_id": unknown, "format": FORMAT + 1, "owner": None}]
        await until(lambda: rows(world, SQL.queue), 30, "it is given back", right=lambda queue: queue == free)
        assert (await world.run("one")).status == "completed"
    assert [row["topic"] for row in rows(world, SQL.topics, run_id=unknown)] == ["RunTriggered", "RunPaused"]


async def test_a_row_of_an_unknown_format_is_not_claimed(world: World) -> None:
    await world.register(ONE)
    newer = await world.trigger("one")
    rows(world, SQL.raise_format, run_id=newer, format=FORMAT + 1)
    async with open_worker(world.core, Journal().registry()):
        assert (await world.run("one")).status == "completed"
    assert world.queue() == {newer: None}
    rows(world, SQL.raise_format, run_id=newer, format=FORMAT)
    async with open_worker(world.core, Journal().registry()):
        assert (await world.finished(newer)).status == "completed"


async def test_commands_on_such_a_run_are_refused(world: World) -> None:
    await world.register(ONE)
    unknown = await world.trigger("one")
    append_unknown(world, unknown, 2)
    with pytest.raises(NeedsNewerProgram, match="unknown event 'RunPaused'"):
        await world.core.commands.cancel(Caller("default", "ann"), unknown)


async def test_a_projector_stands_back_and_stops_nothing(world: World) -> None:
    await world.register(ONE)
    known = await world.trigger("one")
    unknown = await world.trigger("one")
    before = world.core.log.last_position()
    append_unknown(world, unknown, 2)
    await world.trigger("one")
    projector = build_projector(world.core)
    while projector.project_batch():
        pass
    standings = {
        one.name: (one.position, one.state) for one in world.core.read_models.standings() if one.kind == "async"
    }
    assert set(standings.values()) == {(before, "live")}
    assert world.core.reader.run("default", known)["status"] == "queued"
    assert world.core.reader.lag()[:2] == (before, before + 2)
    assert world.core.read_models.verify("runs").differing == 0, "up to where they are, the rows are right"
    with open_projector(world.core):
        pass  # it stands back too, and ends as any other


async def test_the_queue_is_compared_without_such_runs(world: World) -> None:
    await world.register(ONE)
    unknown, known = await world.trigger("one"), await world.trigger("one")
    append_unknown(world, unknown, 2)
    rows(world, SQL.raise_format, run_id=unknown, format=FORMAT + 1)
    assert world.core.read_models.verify("run_queue").differing == 0
    rows(world, SQL.raise_format, run_id=known, format=0)
    report = world.core.read_models.rebuild("run_queue")
    assert [(one.key, one.columns) for one in report.differences] == [(known, {"format": (0, 1)})]
    assert {row["run_id"]: row["format"] for row in rows(world, SQL.queue)} == {unknown: FORMAT + 1, known: 1}
