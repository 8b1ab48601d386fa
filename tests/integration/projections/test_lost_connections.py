"""A connection that is lost while a read model is written is no fault of the event: nothing stops, nothing is lost."""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.histories import make_log
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.projector import Projector
from orchestrator.projections.read_models.contract import ProjectedRun, Row
from orchestrator.projections.read_models.run_steps import RunSteps
from orchestrator.projections.read_models.runs import Runs
from orchestrator.projections.rebuild.supervision import ReadModelSupervisor
from tests.chaos.wire import Wire
from tests.world.core import World, open_world

ALWAYS = 1e9


@pytest.fixture
def wire(database_url: str, data_dir: Path) -> Iterator[Wire]:
    with Wire(database_url, data_dir, random.Random(1), likelihood=ALWAYS) as made:
        made.calm = made.once = True
        yield made


@pytest.fixture
def world(wire: Wire, tmp_path: Path) -> Iterator[World]:
    with open_world(wire.url, tmp_path) as opened:
        asyncio.run(make_log(opened.core, 2000))
        yield opened


class Losing:
    """A read model whose connection is lost, a few times, after its rows are made and before they are written.

    One that stumbles cannot apply the first event that it is shown, once.
    """

    def __init__(self, model: Any, wire: Wire, times: int, *, stumbles: bool = False) -> None:
        self._model = model
        self._wire = wire
        self._stumbles = stumbles
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        if self._stumbles:
            self._stumbles = False
            raise LookupError("this run is beyond us, for now")
        rows = list(self._model.rows(projected))
        yield from rows
        if rows and self.times and self._wire.calm:
            self.times -= 1
            self._wire.calm = False


def states(core: Core) -> dict[str, str]:
    return {one.name: one.state for one in core.read_models.standings()}


@pytest.mark.parametrize("model", [Runs, RunSteps])
def test_a_projector_stops_no_read_model(world: World, wire: Wire, model: Callable[[], Any]) -> None:
    core = world.core
    losing = Losing(model(), wire, times=3)
    projector = Projector(core.database, core.log, core.workflows.get, core.listener, models=(losing,), batch_size=1)
    failures = 0
    for _ in range(1000):
        if not losing.times and wire.calm:
            break
        try:
            projector.project_batch()
        except DatabaseUnavailable:
            failures += 1
    assert failures == 3
    assert states(core)[losing.name] == "live"
    rest = build_projector(core)
    while rest.project_batch():
        pass
    assert not core.read_models.verify(losing.name).is_faulty


def test_a_rebuild_that_looks_for_the_event_at_fault_does_not_blame_it(world: World, wire: Wire) -> None:
    core = world.core
    projector = build_projector(core)
    while projector.project_batch():
        pass
    losing = Losing(RunSteps(), wire, times=1, stumbles=True)
    supervisor = ReadModelSupervisor(core.database, core.log, core.workflows.get, models=(losing,))
    with pytest.raises(DatabaseUnavailable):
        supervisor.rebuild("run_steps")
    core.database.mend()
    assert supervisor.rebuild("run_steps").differing == 0
