"""A read model built anew is the same table, whatever happens on the way."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.histories import make_log, make_read_models
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.projector import Projector
from orchestrator.projections.read_models.artifacts import Artifacts
from orchestrator.projections.read_models.contract import ProjectedRun, ReadModel, Row
from orchestrator.projections.read_models.run_steps import RunSteps
from orchestrator.projections.read_models.runs import Runs
from orchestrator.projections.rebuild.background import BackgroundRebuilds
from orchestrator.projections.rebuild.errors import (
    ProgramTooOld,
    ProjectionNotFound,
    ProjectionNotStopped,
    RebuildInterrupted,
    RebuildRunning,
    RebuildStopped,
)
from orchestrator.projections.rebuild.rebuild import OnProgress
from orchestrator.projections.rebuild.renewal import Renewer
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor
from tests.integration.projections.test_read_models import dump, make_history
from tests.waiting import until
from tests.world.core import World, open_world

SQL = load_sql(__file__)
NAMES = ("runs", "run_steps", "artifacts")


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


def project_all(core: Core) -> None:
    one = build_projector(core)
    while one.project_batch():
        pass


def change(core: Core, *statements: str) -> None:
    with psycopg.connect(core.database.conninfo, autocommit=True) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0


def shape(core: Core) -> list[Any]:
    """Everything about the tables besides their rows."""
    with psycopg.connect(core.database.conninfo) as connection:
        return connection.execute(SQL.shape).fetchall()


def interrupting(stage: str, stopping: threading.Event) -> OnProgress:
    """Ask for the end when a stage begins."""

    def look(now: str, _events: int, _goal: int) -> None:
        if now == stage:
            stopping.set()

    return look


async def test_the_new_table_is_the_old_one(world: World) -> None:
    await make_history(world)
    project_all(world.core)
    change(world.core, SQL.grant)
    rows, around = dump(world.core), shape(world.core)
    for name in NAMES:
        report = world.core.read_models.rebuild(name)
        assert (report.differing, report.swapped, report.position) == (0, True, world.core.log.last_position())
    assert dump(world.core) == rows
    assert shape(world.core) == around
    project_all(world.core)
    assert [one.last_rebuild["swapped"] for one in world.core.read_models.standings() if one.last_rebuild] == [True] * 3


async def test_every_kind_of_damage_is_named_and_put_right(world: World) -> None:
    await make_history(world)
    project_all(world.core)
    right = dump(world.core)
    change(world.core, SQL.forget_run, SQL.add_run, SQL.alter_run)
    wrong = dump(world.core)
    report = world.core.read_models.verify("runs")
    assert dump(world.core) == wrong
    assert (report.is_faulty, report.differing, report.swapped) == (True, 3, False)
    found = {one.kind: one for one in report.differences}
    assert set(found) == {"missing", "extra", "changed"}
    assert found["extra"].key == "00000000-0000-0000-0000-000000000001"
    assert found["changed"].columns == {"status": ("lost", "completed"), "labels": ({"a": "b"}, {})}
    assert world.core.read_models.rebuild("runs").differing == 3
    assert dump(world.core) == right
    assert not world.core.read_models.verify("runs").is_faulty


@pytest.mark.parametrize("stage", ["fill", "index", "catch up", "compare"])
async def test_interrupted_at_any_stage_it_goes_on_from_there(world: World, stage: str) -> None:
    await make_history(world)
    project_all(world.core)
    right = dump(world.core)
    change(world.core, SQL.alter_run)
    stopping = threading.Event()
    with pytest.raises(RebuildInterrupted):
        world.core.read_models.rebuild("runs", on_progress=interrupting(stage, stopping), stopping=stopping)
    (standing,) = [one for one in world.core.read_models.standings() if one.name == "runs"]
    assert standing.rebuild is not None
    assert standing.rebuild.state == "interrupted"
    report = world.core.read_models.rebuild("runs")
    assert report.resumed_at == standing.rebuild.events == report.position
    assert report.differing == 1
    assert dump(world.core) == right


async def test_one_is_rebuilt_once_at_a_time(world: World) -> None:
    await make_history(world)
    project_all(world.core)
    seen: list[str] = []

    def ask_again(_stage: str, _events: int, _goal: int) -> None:
        (running,) = [one.rebuild for one in world.core.read_models.standings() if one.name == "runs"]
        assert running is not None
        seen.append(running.state)
        with pytest.raises(RebuildRunning):
            world.core.read_models.rebuild("runs")
        background = BackgroundRebuilds(world.core.read_models)
        with pytest.raises(RebuildRunning):
            background.start("runs", "test")

    world.core.read_models.rebuild("runs", on_progress=ask_again)
    assert set(seen) == {"running"}
    with pytest.raises(ProjectionNotFound, match="there are runs, run_steps, artifacts, step_cache, run_queue"):
        world.core.read_models.rebuild("nothing")


async def test_several_processes_make_the_same_rows(world: World) -> None:
    await make_log(world.core, 120_000)
    make_read_models(world.core)
    right = dump(world.core)
    for name in NAMES:
        for busy in (False, True):
            assert world.core.read_models.rebuild(name, processes=2, busy=busy).differing == 0
    assert dump(world.core) == right


@dataclass
class Renamed:
    """A read model of a newer program, which writes the owner in capitals; `poison` is a run that it cannot show."""

    model: ReadModel
    version: int = 2
    poison: str = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.model, name)

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        if projected.run.id == self.poison and projected.run.is_finished:
            raise LookupError("this run is beyond us")
        for row in self.model.rows(projected):
            yield {**row, "owner": None if row["owner"] is None else row["owner"].upper()}


def newer(core: Core, **options: Any) -> tuple[Projector, ReadModelSupervisor]:
    """The projector of a program with another version of `runs`, and what rebuilds with it."""
    models: Any = (Renamed(Runs(), **options), RunSteps(), Artifacts())
    return (
        Projector(core.database, core.log, core.workflows.get, core.listener, models=models),
        ReadModelSupervisor(core.database, core.log, core.workflows.get, models=models),
    )


async def test_a_newer_program_rebuilds_what_it_changed_while_the_old_one_serves(world: World) -> None:
    run_ids = await make_history(world)
    old = build_projector(world.core)
    while old.project_batch():
        pass
    projector, supervisor = newer(world.core)
    assert [one.name for one in supervisor.standings() if one.is_outdated] == ["runs"]
    while projector.project_batch():
        pass
    assert world.core.reader.run("default", run_ids[0])["status"] == "completed"
    renewer = Renewer(supervisor)
    renewer.start()
    late = await world.trigger("long", ms=1)  # the old program is still there, and the log goes on
    while old.project_batch():
        pass
    await until(lambda: not supervisor.standing("runs").is_outdated, what="the rebuild is done")
    renewer.stop()
    while projector.project_batch():
        pass
    assert {one.lag_events for one in supervisor.standings()} == {0}
    assert {row["owner"] for row in owners(world.core)} <= {row["owner"].upper() for row in owners(world.core)}
    assert world.core.reader.run("default", late)["status"] == "queued"
    with pytest.raises(ProgramTooOld):
        world.core.read_models.rebuild("runs")
    # what the old program's projector does now leaves the new rows alone
    await world.trigger("long", ms=1)
    while old.project_batch():
        pass
    assert supervisor.standing("runs").lag_events == 1


def owners(core: Core) -> list[Row]:
    with core.database.connection() as connection:
        return connection.execute(SQL.owners).fetchall()


async def test_an_event_that_one_read_model_cannot_apply_stops_that_one_alone(world: World) -> None:
    run_ids = await make_history(world)
    position = next(
        one.position for one in reversed(world.core.log.read(run_ids[0])) if type(one.event).__name__ == "RunCompleted"
    )
    projector, supervisor = newer(world.core, poison=run_ids[0])
    while projector.project_batch():
        pass
    standings = {one.name: one for one in supervisor.standings()}
    assert (standings["runs"].state, standings["runs"].stopped_at) == ("stopped", position)
    assert "beyond us" in str(standings["runs"].error)
    assert standings["runs"].position == position - 1
    assert standings["run_steps"].lag_events == standings["artifacts"].lag_events == 0
    with pytest.raises(ProjectionNotStopped):
        supervisor.retry("run_steps")

    supervisor.retry("runs")
    assert supervisor.standing("runs").state == "live"
    while projector.project_batch():
        pass
    assert supervisor.standing("runs").stopped_at == position

    assert supervisor.skip("runs", "somebody") == position
    while projector.project_batch():
        pass
    assert supervisor.standing("runs").lag_events == 0
    with world.core.database.connection() as connection:
        (skipped,) = connection.execute(SQL.skips).fetchall()
    assert (skipped["name"], skipped["position"], skipped["skipped_by"]) == ("runs", position, "somebody")
    assert "beyond us" in skipped["error"]
    # a rebuild passes over it too, and leaves what the projector left
    assert supervisor.rebuild("runs").differing == 0


async def test_an_event_that_nobody_can_read_stops_a_rebuild_with_its_position(world: World) -> None:
    await make_history(world)
    project_all(world.core)
    poisoned = world.core.log.last_position()
    change(world.core, SQL.damage)
    with pytest.raises(RebuildStopped) as stopped:
        world.core.read_models.rebuild("run_steps")
    assert stopped.value.position == poisoned
    (standing,) = [one for one in world.core.read_models.standings() if one.name == "run_steps"]
    assert standing.rebuild is not None
    change(world.core, SQL.skip_damage)
    assert world.core.read_models.rebuild("run_steps").position == poisoned
