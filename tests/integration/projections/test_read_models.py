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
from tests.integration.workers.site import CALLER, Journal, Site, open_site, step, workflow

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
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path, shutdown_grace_seconds=0.0) as opened:
        yield opened


async def make_history(site: Site) -> list[str]:
    """Runs of every kind and ending, some of them interrupted by a worker that went in a hurry."""
    journal = Journal()
    await site.register(*WORKFLOWS)
    registry = journal.registry()
    registry.add(make_file)
    async with open_worker(site.core, registry):
        ids = [(await site.run(name, n=1)).id for name in ("two", "two", "flaky", "bad", "files", "files")]
        rare, cancelled = await site.trigger("rare"), await site.trigger("long", ms=60_000)
        await site.reached(rare, "blocked")
        calls = len(journal.calls)
        interrupted = await site.trigger("long", ms=1)
        await journal.begun(calls + 2)
        await site.core.commands.cancel(CALLER, cancelled, "enough")
        slow = await site.trigger("long", ms=300)
        await journal.begun(len(journal.calls) + 2)
    async with open_worker(site.core, registry):
        await site.all_finished([interrupted, slow])
    queued = await site.trigger("long", ms=1)
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


async def test_every_kind_of_run_is_shown_as_its_events_say(site: Site) -> None:
    with open_projector(site.core):
        run_ids = await make_history(site)
        await site.projected()
    statuses = [site.core.reader.run("default", run_id)["status"] for run_id in run_ids]
    assert statuses[:6] == ["completed", "completed", "completed", "failed", "completed", "completed"]
    assert statuses[6:] == ["blocked", "cancelled", "completed", "completed", "queued"]
    kinds = {type(recorded.event).__name__ for recorded in site.core.log.read_log(0, 10_000)}
    assert {"RunRecovered", "StepRetried", "StepCacheHit", "RunBlocked", "RunFailed"} <= kinds
    check_views(site.core, run_ids)
    assert len(site.core.reader.runs("default", limit=200)[0]) == len(run_ids)


async def test_at_every_position_the_tables_show_the_runs_as_they_were_then(site: Site) -> None:
    await make_history(site)
    core, one, seen = site.core, projector(site.core, 1), 0
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


async def test_the_size_of_batches_makes_no_difference(site: Site) -> None:
    await make_history(site)
    project_all(site.core, 10_000)
    whole = dump(site.core)
    assert {model for model, _ in whole} == {"runs", "run_steps", "artifacts"}
    for size in (1, 2, 3, 7):
        wipe(site.core)
        project_all(site.core, size)
        assert dump(site.core) == whole


async def test_an_artifact_made_twice_has_one_row(site: Site) -> None:
    run_ids = await make_history(site)
    project_all(site.core, 100)
    rows = [content for model, content in dump(site.core) if model == "artifacts"]
    assert len(rows) == len(set(rows)) == 3
    made = site.core.reader.artifacts("default", run_ids[5])
    assert sorted(artifact["stepId"] for artifact in made) == ["a", "a", "b", "b"]


async def test_a_projector_that_is_restarted_goes_on_where_it_was(site: Site) -> None:
    await make_history(site)
    project_all(site.core, 10_000)
    whole = dump(site.core)
    wipe(site.core)
    while projector(site.core, 5).project_batch():  # a new one for every batch, with nothing in memory
        pass
    assert dump(site.core) == whole


async def test_one_that_is_started_in_the_middle_of_runs_catches_up(site: Site) -> None:
    journal = Journal()
    await site.register(*WORKFLOWS)
    async with open_worker(site.core, journal.registry()):
        for _ in range(4):
            with open_projector(site.core):
                run_ids = [await site.trigger("long", ms=30) for _ in range(5)]
                await asyncio.sleep(0.02)
            runs = await site.all_finished(run_ids)
            assert {run.status for run in runs} == {"completed"}
        with open_projector(site.core):
            await site.projected()
    check_views(site.core, [view["id"] for view in site.core.reader.runs("default", limit=200)[0]])


async def test_several_at_once_neither_lose_nor_repeat(site: Site, database_url: str, tmp_path: Path) -> None:
    """Three programs project with tiny batches, so that they take turns, while runs go on."""
    with ExitStack() as stack:
        for _ in range(3):
            other = stack.enter_context(open_site(database_url, tmp_path, projector_batch=2))
            stack.enter_context(open_projector(other.core))
        run_ids = await make_history(site)
        await site.projected()
    check_views(site.core, run_ids)
    together = dump(site.core)
    wipe(site.core)
    project_all(site.core, 10_000)
    assert dump(site.core) == together


async def test_two_that_race_for_each_batch_make_the_same_tables(site: Site) -> None:
    await make_history(site)
    core = site.core
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


async def test_while_its_connections_are_killed_nothing_is_lost(site: Site, database_url: str, tmp_path: Path) -> None:
    named = f"{database_url}&application_name=projecting"
    with open_site(named, tmp_path, projector_batch=2) as other, open_projector(other.core):
        history = asyncio.create_task(make_history(site))
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not history.done():
                await asyncio.sleep(0.15)
                connection.execute(SQL.kill_projectors)
        run_ids = history.result()
        await site.projected()
    check_views(site.core, run_ids)


async def test_what_a_crash_of_postgres_takes_is_projected_once_more(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The projector does not wait for the disk, so a crash takes rows and checkpoint back, together."""
    with psycopg.connect(own_postgres.conninfo(), autocommit=True) as connection:
        for statement in (SQL.flush_late, SQL.reload):
            connection.execute(statement)
    with open_site(own_postgres.conninfo(), tmp_path) as site:
        run_ids = await make_history(site)
        ours = projector(site.core, 10_000)
        ours.project_batch()
        whole, reached = dump(site.core), site.core.reader.position()
        own_postgres.kill_immediate()
        own_postgres.restart()
        site.core.database.mend()
        assert site.core.reader.position() < reached == site.core.log.last_position()
        with pytest.raises(DatabaseUnavailable):
            ours.project_batch()  # finds that its connection is gone
        ours.project_batch()
        check_views(site.core, run_ids)
        assert dump(site.core) == whole
