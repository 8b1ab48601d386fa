"""Deleted runs: nothing is left, nothing that others need goes, and all can be proved."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.application.calls import Calls
from orchestrator.application.commands import Wanted
from orchestrator.application.core import Core
from orchestrator.application.errors import DeletionHeld, InvalidRequest
from orchestrator.bootstrap.retaining import build_inspector, build_pruner
from orchestrator.bootstrap.showing import build_chain
from orchestrator.domain.change import ChangeRequest
from orchestrator.domain.errors import RunArchived, RunDeleted, RunNeeded, RunNotFinished, RunNotFound
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql
from orchestrator.retention.turn import exclusively
from tests.integration.audit.campaign import DOCUMENT, every_fate
from tests.integration.retention.test_retention import NO_CACHE, all_is_well, archived, in_log
from tests.world.core import CALLER, World
from tests.world.echo import EchoWorld, open_echo_world

SQL = load_sql(__file__)
OPEN = {"workflowName": "open", "version": "1", "steps": [{"stepId": "one", "skillId": "test.nobody"}]}


async def delete(core: Core, run_id: str) -> dict[str, Any]:
    return await Calls(core, CALLER).delete_run(run_id, reason="asked to be forgotten")


async def delete_all(here: EchoWorld, ids: set[str]) -> None:
    """Delete runs, those that others need after the others."""
    while ids:
        left = set(ids)
        for run_id in sorted(left):
            with suppress(RunNeeded):
                await delete(here.core, run_id)
                ids.discard(run_id)
        assert ids < left, "runs do not need each other in a circle"


async def test_runs_of_every_fate_are_deleted_and_all_can_still_be_proved(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        ids = await every_fate(here)
        with pytest.raises(RunNotFinished, match="blocked"):
            await delete(core, ids[-2])
        before = build_chain(core).head()
        finished = {*ids} - {ids[-2]}
        await delete_all(here, set(finished))
        assert not finished & in_log(core)
        assert await asyncio.to_thread(build_chain(core).verify, [before]) is None
        await World(core).projected()
        all_is_well(core)
        for run_id in finished:
            for question in (core.reader.run, core.reader.steps, core.reader.history):
                with pytest.raises(RunDeleted, match="was deleted"):
                    question("default", run_id)
            with pytest.raises(RunNotFound) as unknown:
                core.reader.run("another", run_id)
            assert not isinstance(unknown.value, RunDeleted)
            with pytest.raises(RunDeleted):
                await delete(core, run_id)
        again = await here.make("audited", {"seed": 1})
        assert here.executed[again], "no deleted result serves"
        await World(core).projected()
        all_is_well(core)


async def test_what_is_not_finished_known_or_said_why_is_refused(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(OPEN)
        run_id = (await here.core.commands.trigger(CALLER, Wanted("open"))).run_id
        with pytest.raises(RunNotFinished, match="cancel it first"):
            await delete(here.core, run_id)
        await here.core.commands.cancel(CALLER, run_id)
        for reason in ("", "  ", "x" * 1001, "a\0b"):
            with pytest.raises(InvalidRequest, match="reason"):
                await Calls(here.core, CALLER).delete_run(run_id, reason=reason)
        with pytest.raises(RunNotFound):
            await delete(here.core, "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d")
        assert (await delete(here.core, run_id))["contentRemoved"] == 0


async def test_a_key_is_not_used_twice(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(DOCUMENT)
        wanted = Wanted("audited", payload={"seed": 1})
        accepted = await here.core.commands.trigger(CALLER, wanted, idempotency_key="once")
        await delete(here.core, await here.done(accepted))
        with pytest.raises(RunDeleted):
            await here.core.commands.trigger(CALLER, wanted, idempotency_key="once")


async def test_a_base_stays_as_long_as_it_is_one(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core = here.core
        await here.register(NO_CACHE)
        base = await here.make("plain", {"first": 1, "second": 2})
        await World(core).projected()
        update = await here.done(await core.changes.update(CALLER, base, ChangeRequest("second", {"second": 3})))
        with pytest.raises(RunNeeded, match=update):
            await delete(core, base)
        await delete(core, update)
        await delete(core, base)
        with pytest.raises(RunDeleted):
            await core.changes.update(CALLER, base, ChangeRequest("second", {"second": 4}))


async def test_content_goes_unless_another_run_or_an_archive_names_it(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        core, store = here.core, tmp_path / "artifacts/default/sha256"
        await here.register(NO_CACHE)
        first = await here.make("plain", {"first": 1, "second": 2})
        twin = await here.make("plain", {"first": 1, "second": 2})
        assert len(list(store.glob("??/*"))) == 2
        assert (await delete(core, first))["contentRemoved"] == 0
        await World(core).projected()
        assert [row["id"] for row in await Calls(core, CALLER).artifacts(twin)] != []
        all_is_well(core)
        third = await here.make("plain", {"first": 1, "second": 5})
        await World(core).projected()
        assert (await asyncio.to_thread(archived, core)).runs == 1  # the twin
        with pytest.raises(RunArchived):
            await delete(core, twin)
        done = await delete(core, third)
        assert (done["contentRemoved"], done["contentLeft"]) == (1, 0), "the archive names the other one"
        assert len(list(store.glob("??/*"))) == 2
        assert (await asyncio.to_thread(build_pruner(core).prune, 3600)).sweep.removed == 0
        all_is_well(core)


async def test_one_at_a_time(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(DOCUMENT)
        run_id = await here.make("audited", {"seed": 1})
        other = Database(database_url)
        try:
            with exclusively(other), pytest.raises(DeletionHeld, match="another process"):
                await delete(here.core, run_id)
        finally:
            other.close()
        await delete(here.core, run_id)


async def test_a_run_that_left_without_a_record_is_found(database_url: str, tmp_path: Path) -> None:
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(DOCUMENT)
        await delete(here.core, await here.make("audited", {"seed": 1}))
        inspector = build_inspector(here.core)
        assert list(inspector.verify()) == []
        with here.core.database.connection() as connection:
            connection.execute(SQL.bury_without_a_record)
        (fault,) = inspector.verify()
        assert "without a record of its deletion" in fault.message
