"""Who tells of events, and when: once each, in order, whichever projector reads them and however often it starts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from orchestrator.application.caller import Caller
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import build_projector
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import Step, Workflow
from orchestrator.eventstore.recorded import Recorded
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.projector import Projector
from orchestrator.settings import load_settings
from tests.waiting import until

_SQL = load_sql(__file__)
WORKFLOW = Workflow("w.v1", "1", {"a": Step("a", "s")})
CALLER = Caller("default", "me")


class Journal:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    def __call__(self, batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
        self.positions += [recorded.position for recorded in batch]


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    with open_core(load_settings(database_url=database_url)) as core:
        yield core


def forget(core: Core, name: str) -> None:
    """Set the checkpoint of a read model back to the beginning, as for one that is new."""
    with core.database.transaction() as connection:
        connection.execute(_SQL.forget, {"name": name})


def project(projector: Projector) -> None:
    """Project all there is; the first call may only introduce the read models."""
    for _ in range(2):
        while projector.project_batch():
            pass


async def trigger(core: Core) -> str:
    return (await core.commands.trigger(CALLER, Wanted("w.v1"))).run_id


async def test_each_event_is_told_once_in_order_across_restarts(core: Core) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    journal = Journal()
    for _ in range(3):
        run_id = await trigger(core)
        project(build_projector(core, journal))
        await core.commands.cancel(CALLER, run_id)
    project(build_projector(core, journal))

    assert journal.positions == list(range(1, core.log.last_position() + 1))
    assert len(journal.positions) == 7


async def test_in_small_batches_too(core: Core) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    for _ in range(5):
        await trigger(core)
    journal = Journal()
    project(build_projector(replace(core, settings=load_settings(projector_batch=2)), journal))

    assert journal.positions == [1, 2, 3, 4, 5, 6]


async def test_a_read_model_that_starts_over_tells_no_old_story(core: Core) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    await trigger(core)
    journal = Journal()
    project(build_projector(core, journal))
    forget(core, "run_steps")
    await trigger(core)
    project(build_projector(core, journal))

    assert journal.positions == [1, 2, 3]


@pytest.mark.parametrize("name", ["runs", "artifacts"])
async def test_of_two_projectors_each_at_some_of_the_read_models_one_tells(core: Core, name: str) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    journal = Journal()
    project(build_projector(core, journal))
    await trigger(core)
    with core.database.transaction() as connection:
        connection.execute(_SQL.hold, {"name": name})
        project(build_projector(core, journal))
    project(build_projector(core, journal))

    assert journal.positions == [1, 2]


async def test_of_two_projectors_one_tells(core: Core) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    await trigger(core)
    one, other = Journal(), Journal()
    first, second = build_projector(core, one), build_projector(core, other)
    project(first)
    project(second)
    await trigger(core)
    project(second)
    project(first)

    assert one.positions == [1, 2]
    assert other.positions == [3]


class Poisoned:
    """Fails on what it is told, as a journal does on a number it cannot write."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, batch: Iterable[Recorded], runs: Mapping[str, Run]) -> None:
        self.told += 1
        raise OverflowError("date value out of range")


async def test_read_models_go_on_though_nobody_can_be_told(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    poisoned = Poisoned()
    projector = build_projector(core, poisoned)
    projector.start()
    try:
        for _ in range(3):
            run_id = await trigger(core)
            await until(lambda: core.reader.position() == core.log.last_position(), 30, "everything is projected")
            assert (await core.database.call(core.reader.run, "default", run_id))["status"] == "queued"
    finally:
        projector.stop()
    assert poisoned.told >= 3
    assert "events could not be reported" in caplog.text


async def test_a_projector_that_fails_is_started_again_and_counted(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the fault is: here, its checkpoints are gone from below it for a moment."""
    await core.workflows.register(WORKFLOW, tenant="default", actor="me")
    projector = build_projector(core)
    with core.database.connection() as connection:
        connection.execute(_SQL.hide)
    projector.start()
    try:
        told = "background duty failed, restarting"
        await until(lambda: caplog.text, 30, "the failure is logged", right=lambda text: told in text)
        with core.database.connection() as connection:
            connection.execute(_SQL.show)
        await trigger(core)
        await until(lambda: core.reader.position() == core.log.last_position(), 30, "everything is projected")
    finally:
        projector.stop()
    assert b'orchestrator_duty_restarts_total{duty="projector"}' in generate_latest(core.metrics.registry)
