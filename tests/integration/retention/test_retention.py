"""Finished runs leave the log for archive files: nothing is lost, nothing that is needed leaves, all can be proved."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.application.clock import now
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.bootstrap.auditing import build_auditor
from orchestrator.bootstrap.retaining import build_archivist, build_inspector
from orchestrator.bootstrap.showing import build_chain, build_supervisor
from orchestrator.cache.rebuild import StepCacheRebuild
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.commands import TriggerRun
from orchestrator.domain.errors import IdempotencyConflict, RunArchived, RunNotFound
from orchestrator.postgres.sql import load_sql
from orchestrator.retention.archivist import Retired
from orchestrator.retention.removal import RetentionHeld
from orchestrator.retention.selection import Selector
from orchestrator.workflows.document import load_document
from tests.integration.audit.campaign import mixture
from tests.world.core import CALLER, World
from tests.world.echo import EchoWorld, open_echo_world

SQL = load_sql(__file__)
SOON = 3_600_000  # milliseconds: later than anything in these tests


def archived(core: Core) -> Retired:
    return build_archivist(core, "auditor").apply(now() + SOON)


def all_is_well(core: Core) -> None:
    """Chain, histories, archives, read models, artifacts and the step cache are what the log and the archive say."""
    assert list(build_auditor(core).verify()) == []
    assert StepCacheRebuild(core.database, core.log, core.workflows.get).verify() == []
    supervisor = build_supervisor(core)
    assert [supervisor.verify(name).differences for name in supervisor.names] == [()] * len(supervisor.names)


def in_log(core: Core) -> set[str]:
    with core.database.connection() as connection:
        return {row["id"] for row in connection.execute(SQL.in_log)}


async def test_what_nothing_needs_leaves_and_all_can_still_be_proved(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        ids = await mixture(here)
        await core.cache.invalidate("default", "test", workflow="audited")
        await here.projected()
        before = build_chain(core).head()
        done = await asyncio.to_thread(archived, core)
        assert done.runs == len(ids) + 1  # the mixture has one more, of which it does not tell
        assert (done.kept_for_cache, done.kept_for_runs) == (0, 0)
        assert not {*ids} & in_log(core)
        for run_id in ids:
            with pytest.raises(RunArchived, match="archived"):
                core.reader.run("default", run_id)
            with pytest.raises(RunArchived):
                core.reader.history("default", run_id)
            with pytest.raises(RunNotFound) as unknown:
                core.reader.run("another", run_id)
            assert not isinstance(unknown.value, RunArchived)
        assert core.reader.runs("default") == ([], None)
        all_is_well(core)
        assert list(build_auditor(core).verify(heads=[before])) == []
        files = build_inspector(core).archives()
        assert [file.name for file in files] == list(done.files)
        assert sum(file.runs for file in files) == done.runs
        assert {file.archived_by for file in files} == {"auditor"}
        # work goes on, at the positions that follow
        last = core.log.last_position()
        await here.make("audited", {"seed": 1})
        assert core.log.last_position() > last
        await here.projected()
        all_is_well(core)
        assert archived(core).runs == 0  # its results serve


NO_CACHE = {
    "workflowName": "plain",
    "version": "1",
    "steps": [
        {
            "stepId": name,
            "skillId": "test.echo",
            "dependsOn": needed,
            "input": {"seed": f"trigger.{name}", "file": "`true`"},
            "cachePolicy": {"enabled": False},
        }
        for name, needed in (("first", []), ("second", ["first"]))
    ],
    "changeTypes": {"second": {"seeds": ["second"]}},
}


async def plain(here: EchoWorld, **payload: Any) -> str:
    return await here.make("plain", {"first": 1, "second": 2, **payload})


async def kept(core: Core) -> Retired:
    await World(core).projected()
    return await asyncio.to_thread(archived, core)


async def test_what_the_cache_or_other_runs_need_stays(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        await here.register(
            {
                **NO_CACHE,
                "workflowName": "cached",
                "steps": [{"stepId": "one", "skillId": "test.echo"}],
                "changeTypes": {},
            }
        )
        base = await plain(here)
        await here.projected()
        update = await here.done(await core.changes.update(CALLER, base, ChangeRequest("second", {"second": 3})))
        await here.projected()
        third = await here.done(await core.changes.update(CALLER, update, ChangeRequest("second", {"second": 4})))
        alone = await plain(here, first=5)
        maker = await here.make("cached", {})
        taker = await here.make("cached", {"unread": 1})
        await here.projected()

        # an update that stays, for it is not old enough: its base and the maker of what it reuses stay with it
        with core.database.connection() as connection:
            row = connection.execute(SQL.completed_at, {"run_id": third}).fetchone()
        assert row is not None
        done = await asyncio.to_thread(build_archivist(core, "auditor").apply, row["completed_at"])
        assert (done.runs, done.kept_for_cache) == (0, 0)
        assert done.kept_for_runs == 2

        done = await asyncio.to_thread(archived, core)
        assert done.kept_for_cache == 1  # the maker; who took its result is not needed
        assert {base, update, third, alone} & in_log(core) == set()
        assert {maker, taker} <= in_log(core)  # the newest event is the taker's: positions go on from there
        all_is_well(core)
        again = await here.make("cached", {"unread": 2})
        assert (await here.steps(again))["one"]["reusedFromRunId"] == maker
        await here.projected()
        await core.cache.invalidate("default", "test", workflow="cached")
        assert (await asyncio.to_thread(archived, core)).runs == 3
        all_is_well(core)


async def test_nothing_is_built_upon_what_left_and_keys_go_on_to_be_known(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        workflow = load_document(NO_CACHE, "test")
        asked = Wanted("plain", payload={"first": 1, "second": 2})
        first = await core.commands.trigger(CALLER, asked, idempotency_key="once")
        await here.done(first)
        await plain(here)
        assert (await kept(core)).runs == 1  # the newest event stays, and its run with it
        events = core.log.last_position()
        again = await core.commands.trigger(CALLER, asked, idempotency_key="once")
        assert (again.run_id, again.steps) == (first.run_id, first.steps)
        with pytest.raises(IdempotencyConflict):
            await core.commands.trigger(CALLER, Wanted("plain", payload={"first": 9}), idempotency_key="once")
        for change in (
            core.changes.update(CALLER, first.run_id, ChangeRequest("second", {"second": 3})),
            core.changes.retry(CALLER, first.run_id),
            core.commands.cancel(CALLER, first.run_id),
        ):
            with pytest.raises(RunArchived):
                await change
        # decided before it left, recorded after
        late = TriggerRun(now(), "update", {}, base_run_id=first.run_id, impacted=("second",))
        with pytest.raises(RunArchived, match=first.run_id):
            await core.commands.begin_run(CALLER, late, workflow, None)
        assert core.log.last_position() == events
        with core.database.connection() as connection:
            assert connection.execute(SQL.queued).fetchone() == {"runs": 0}


async def test_what_is_marked_is_not_built_upon_and_leaves_the_next_time(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        workflow = load_document(NO_CACHE, "test")
        base = await plain(here)
        await plain(here)
        await here.projected()
        build_chain(core).head()
        Selector(core.database, core.log).mark(now() + SOON)  # as if killed after that
        late = TriggerRun(now(), "update", {}, base_run_id=base, impacted=("second",))
        with pytest.raises(RunArchived, match=f"{base} is being archived"):
            await core.commands.begin_run(CALLER, late, workflow, None)
        assert core.reader.run("default", base)["status"] == "completed"
        all_is_well(core)
        assert (await asyncio.to_thread(build_archivist(core, "auditor").apply, 0)).runs == 1
        all_is_well(core)


async def test_an_artifact_is_handed_on_to_whoever_made_it_next(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        await plain(here)
        second = await plain(here)
        await here.projected()
        artifact = core.reader.artifacts("default", second)[0]["id"]
        before = core.reader.artifact("default", artifact)
        assert before is not None
        assert str(before["run_id"]) != second
        assert (await kept(core)).runs == 1
        after = core.reader.artifact("default", artifact)
        assert after is not None
        assert str(after["run_id"]) == second
        all_is_well(core)


async def test_a_rebuild_is_not_disturbed(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        await plain(here)
        await plain(here)
        await here.projected()
        with core.database.connection() as guard:  # as a rebuild does
            guard.execute(SQL.begin_rebuild)
            with pytest.raises(RetentionHeld, match="locked, by a rebuild"):
                build_archivist(core, "test", timeout_seconds=0.1).apply(now() + SOON)
            guard.execute(SQL.end_rebuild)
        assert archived(core).runs == 1
        all_is_well(core)


async def test_the_database_lets_no_event_go_without_a_tombstone(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(NO_CACHE)
        left, stays = await plain(here), await plain(here)
        assert (await kept(here.core)).runs == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name in ("delete_one", "delete_all", "truncate", "change_tombstone", "delete_tombstone", "change_record"):
            with pytest.raises(psycopg.Error, match="append-only"):
                connection.execute(SQL[name], {"run_id": stays})
        # a tombstone that does not hold the digest of every event is none
        with pytest.raises(psycopg.Error, match="append-only"), connection.transaction():
            _bury(connection, stays, left)


def _bury(connection: psycopg.Connection, run_id: str, like: str) -> None:
    connection.execute(SQL.bury_like, {"run_id": run_id, "like": like})
    connection.execute(SQL.delete_one, {"run_id": run_id})
