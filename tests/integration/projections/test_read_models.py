"""Read models are what the log says: at every position, in every batch size, with any number of projectors."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from orchestrator import StepContext, skill
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import build_projector, open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import CachePolicy, RetryPolicy
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.sql import load_sql
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.projections.projector import Projector
from tests.world.core import CALLER, World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
KEPT = CachePolicy()
TWICE = RetryPolicy(max_attempts=2, backoff_ms=20)

WORKFLOWS = (
    workflow("two", step("a", cache=KEPT, n="trigger.n"), step("b", "a", cache=KEPT, got="steps.a.data")),
    workflow("flaky", step("a", retry=TWICE, fails="`1`"), step("b", "a")),
    workflow("bad", step("a"), step("b", "a", retry=TWICE, fails="`9`"), step("c", "b"), step("d", "a", ms="`60`")),
    workflow("long", step("a"), step("b", "a", ms="trigger.ms"), step("c", "b")),
    workflow("rare", step("a"), step("b", "a", skill_id="test.rare")),
    workflow("files", step("a", skill_id="test.file"), step("b", "a", skill_id="test.file")),
)


@skill("test.file")
async def make_file(input: dict[str, object], ctx: StepContext) -> dict[str, object]:
    """The same bytes in every run, so that the artifact has the same id."""
    ctx.artifact(ctx.step_id.encode(), type="text/plain", filename="ü.txt", metadata={"n": 1})
    ctx.register_uri("https://example.com/x", "text/html")
    return {}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


async def make_history(world: World) -> list[str]:
    """Runs of every kind and ending, some of them interrupted by a worker that went in a hurry."""
    journal = Journal()
    await world.register(*WORKFLOWS)
    registry = journal.registry()
    registry.add(make_file)
    async with open_worker(world.core, registry):
        ids = [(await world.run(name, n=1)).id for name in ("two", "two", "flaky", "bad", "files", "files")]
        rare, cancelled = await world.trigger("rare"), await world.trigger("long", ms=60_000)
        await world.reached(rare, "blocked")
        calls = len(journal.calls)
        interrupted = await world.trigger("long", ms=1)
        await journal.begun(calls + 2)
        await world.core.commands.cancel(CALLER, cancelled, "enough")
        slow = await world.trigger("long", ms=300)
        await journal.begun(len(journal.calls) + 2)
    async with open_worker(world.core, registry):
        await world.all_finished([interrupted, slow])
    queued = await world.trigger("long", ms=1)
    return [*ids, rare, cancelled, interrupted, slow, queued]


def dump(core: Core) -> list[tuple[str, str]]:
    with psycopg.connect(core.database.conninfo) as connection:
        return connection.execute(SQL.dump).fetchall()


def wipe(core: Core) -> None:
    with psycopg.connect(core.database.conninfo) as connection:
        connection.execute(SQL.wipe)


def projector(core: Core, batch_size: int) -> Projector:
    return build_projector(replace(core, settings=core.settings.model_copy(update={"projector_batch": batch_size})))


def project_all(core: Core, batch_size: int) -> None:
    one = projector(core, batch_size)
    while one.project_batch():
        pass


def check_views(core: Core, run_ids: list[str]) -> None:
    """What the tables show of each run is what folding its events shows."""
    for run_id in run_ids:
        loaded = core.runs.load(run_id)
        assert core.reader.run("default", run_id) == core.reader.folded_run(loaded)
        assert core.reader.steps("default", run_id) == core.reader.folded_steps(loaded)


async def test_every_kind_of_run_is_shown_as_its_events_say(world: World) -> None:
    with open_projector(world.core):
        run_ids = await make_history(world)
        await world.projected()
    statuses = [world.core.reader.run("default", run_id)["status"] for run_id in run_ids]
    assert statuses[:6] == ["completed", "completed", "completed", "failed", "completed", "completed"]
    assert statuses[6:] == ["blocked", "cancelled", "completed", "completed", "queued"]
    kinds = {type(recorded.event).__name__ for recorded in world.core.log.read_log(0, 10_000)}
    assert {"RunRecovered", "StepRetried", "StepCacheHit", "RunBlocked", "RunFailed"} <= kinds
    check_views(world.core, run_ids)
    assert len(world.core.reader.runs("default", limit=200)[0]) == len(run_ids)


async def test_at_every_position_the_tables_show_the_runs_as_they_were_then(world: World) -> None:
    await make_history(world)
    core, one, seen = world.core, projector(world.core, 1), 0
    while one.project_batch():
        seen += 1
        assert core.reader.position() == seen
        (recorded,) = core.log.read_log(seen - 1, 1)
        history = [item for item in core.log.read(recorded.stream_id) if item.position <= seen]
        if type(recorded.event).__name__ == "WorkflowRegistered":
            continue
        loaded = core.runs.fold(recorded.stream_id, history)
        assert core.reader.run("default", recorded.stream_id) == core.reader.folded_run(loaded)
        assert core.reader.steps("default", recorded.stream_id) == core.reader.folded_steps(loaded)
    assert seen == core.log.last_position()


async def test_the_size_of_batches_makes_no_difference(world: World) -> None:
    await make_history(world)
    project_all(world.core, 10_000)
    whole = dump(world.core)
    assert {model for model, _ in whole} == {"runs", "run_steps", "artifacts"}
    for size in (1, 2, 3, 7):
        wipe(world.core)
        project_all(world.core, size)
        assert dump(world.core) == whole


async def test_an_artifact_made_twice_has_one_row(world: World) -> None:
    run_ids = await make_history(world)
    project_all(world.core, 100)
    rows = [content for model, content in dump(world.core) if model == "artifacts"]
    assert len(rows) == len(set(rows)) == 3
    made = world.core.reader.artifacts("default", run_ids[5])
    assert sorted(artifact["stepId"] for artifact in made) == ["a", "a", "b", "b"]


async def test_a_projector_that_is_restarted_goes_on_where_it_was(world: World) -> None:
    await make_history(world)
    project_all(world.core, 10_000)
    whole = dump(world.core)
    wipe(world.core)
    while projector(world.core, 5).project_batch():  # a new one for every batch, with nothing in memory
        pass
    assert dump(world.core) == whole


async def test_one_that_is_started_in_the_middle_of_runs_catches_up(world: World) -> None:
    journal = Journal()
    await world.register(*WORKFLOWS)
    async with open_worker(world.core, journal.registry()):
        for _ in range(4):
            with open_projector(world.core):
                run_ids = [await world.trigger("long", ms=30) for _ in range(5)]
                await asyncio.sleep(0.02)  # the time itself is the subject: in the midst of the runs
            runs = await world.all_finished(run_ids)
            assert {run.status for run in runs} == {"completed"}
        with open_projector(world.core):
            await world.projected()
    check_views(world.core, [view["id"] for view in world.core.reader.runs("default", limit=200)[0]])


async def test_several_at_once_neither_lose_nor_repeat(world: World, database_url: str, tmp_path: Path) -> None:
    """Three programs project with tiny batches, so that they take turns, while runs go on."""
    with ExitStack() as stack:
        for _ in range(3):
            other = stack.enter_context(open_world(database_url, tmp_path, projector_batch=2))
            stack.enter_context(open_projector(other.core))
        run_ids = await make_history(world)
        await world.projected()
    check_views(world.core, run_ids)
    together = dump(world.core)
    wipe(world.core)
    project_all(world.core, 10_000)
    assert dump(world.core) == together


async def test_two_that_race_for_each_batch_make_the_same_tables(world: World) -> None:
    await make_history(world)
    core = world.core
    project_all(core, 10_000)
    whole = dump(core)
    wipe(core)

    def race() -> None:
        mine = projector(core, 3)
        while core.reader.position() < core.log.last_position():
            mine.project_batch()

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert dump(core) == whole


async def test_while_its_connections_are_killed_nothing_is_lost(
    world: World, database_url: str, tmp_path: Path
) -> None:
    named = f"{database_url}&application_name=projecting"
    with open_world(named, tmp_path, projector_batch=2) as other, open_projector(other.core):
        history = asyncio.create_task(make_history(world))
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not history.done():
                await asyncio.sleep(0.15)  # the time itself is the subject: the pace of the killing
                connection.execute(SQL.kill_projectors)
        run_ids = history.result()
        await world.projected()
    check_views(world.core, run_ids)


async def test_what_a_crash_of_postgres_takes_is_projected_once_more(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The projector does not wait for the disk, so a crash takes rows and checkpoint back, together."""
    with psycopg.connect(own_postgres.conninfo(), autocommit=True) as connection:
        for statement in (SQL.flush_late, SQL.reload):
            connection.execute(statement)
    with open_world(own_postgres.conninfo(), tmp_path) as world:
        run_ids = await make_history(world)
        ours = projector(world.core, 10_000)
        ours.project_batch()
        whole, reached = dump(world.core), world.core.reader.position()
        own_postgres.kill_immediate()
        own_postgres.restart()
        world.core.database.mend()
        assert world.core.reader.position() < reached == world.core.log.last_position()
        with pytest.raises(DatabaseUnavailable):
            ours.project_batch()  # finds that its connection is gone
        ours.project_batch()
        check_views(world.core, run_ids)
        assert dump(world.core) == whole
