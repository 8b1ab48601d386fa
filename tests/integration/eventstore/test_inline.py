"""Inline read models are written in the transaction of the append: both or neither."""

from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.rows import dict_row

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import RunBlocked, RunCancelled, RunCompleted, RunEvent, RunFailed, StepCompleted
from orchestrator.domain.evolve import begin, evolve
from orchestrator.domain.output import Artifact, Output, output_to_json
from orchestrator.domain.run import Run
from orchestrator.domain.workflow import CachePolicy, Step, Workflow
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.runs import RunStore
from orchestrator.postgres.sql import load_sql
from tests.integration.eventstore.logs import new_stream, open_log
from tests.servers import Databases
from tests.unit.domain.scenario import AT, HOPELESS, TAKEN, started, triggered

SQL = load_sql(__file__)
WORKFLOW = Workflow(
    "test", "1", {"a": Step("a", "test.skill"), "b": Step("b", "test.skill", cache=CachePolicy(enabled=False))}
)


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at streams of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def log(database_url: str) -> Iterator[PostgresLog]:
    with open_log(database_url) as opened:
        yield opened


@pytest.fixture
def runs(log: PostgresLog) -> RunStore:
    return RunStore(log, lambda tenant, name, version: WORKFLOW)


def rows(log: PostgresLog, block: str, *runs: Run) -> list[dict[str, Any]]:
    with psycopg.connect(log.recorder._database.conninfo, row_factory=dict_row) as connection:
        return connection.execute(SQL[block], ([run.id for run in runs],)).fetchall()


async def saved(runs: RunStore, run: Run, *events: RunEvent) -> Run:
    for event in events:
        evolve(run, event)
    await runs.save(run, events, tenant="t", actor="a")
    return run


async def queued(runs: RunStore, **fields: Any) -> Run:
    run = begin(new_stream(), WORKFLOW, triggered(**fields))
    await runs.save(run, [run.trigger], tenant="t", actor="a")
    return run


async def test_a_triggered_run_is_in_the_queue(log: PostgresLog, runs: RunStore) -> None:
    run = await queued(runs, priority=7)
    row = {"run_id": run.id, "tenant": "t", "priority": 7, "owner": None, "blocked_on": None}
    assert rows(log, "queue", run) == [row]


@pytest.mark.parametrize(
    "end",
    [RunCompleted(AT, 0, 0), RunFailed(AT, HOPELESS, None), RunCancelled(AT, None, "ann")],
    ids=lambda e: type(e).__name__,
)
async def test_a_finished_run_leaves_it(log: PostgresLog, runs: RunStore, end: RunEvent) -> None:
    other = await queued(runs)
    ended = await saved(runs, await queued(runs), TAKEN, end)
    assert [row["run_id"] for row in rows(log, "queue", other, ended)] == [other.id]


async def test_a_blocked_run_waits_in_it_for_its_skills(log: PostgresLog, runs: RunStore) -> None:
    run = await saved(runs, await queued(runs), TAKEN, RunBlocked(AT, ("x.skill", "y.skill")))
    assert [row["blocked_on"] for row in rows(log, "queue", run)] == [["x.skill", "y.skill"]]


async def test_a_refused_append_changes_neither(log: PostgresLog, runs: RunStore) -> None:
    run = await queued(runs)
    with pytest.raises(VersionConflict):
        await log.append(run.id, 0, [run.trigger, TAKEN], tenant="t", actor="b", inline={"queue_drop": [run.id]})
    assert [row["run_id"] for row in rows(log, "queue", run)] == [run.id]
    assert len(log.read(run.id)) == 1


@pytest.mark.parametrize("broken", [{"queue_put": [{"run_id": "no uuid"}]}, {"queue_drop": ["no uuid"]}])
async def test_inline_rows_that_cannot_be_written_undo_the_append(log: PostgresLog, broken: dict[str, Any]) -> None:
    stream, last = new_stream(), log.last_position()
    with pytest.raises(Exception, match="no uuid"):
        await log.append(stream, 0, [TAKEN], tenant="t", actor="a", inline=broken)
    assert log.read(stream) == []
    await log.append(stream, 0, [TAKEN], tenant="t", actor="a")
    assert log.last_position() == last + 1, "no gap where it would have been"


class TestResults:
    @pytest.mark.parametrize(
        "data",
        [
            {"z": 1, "a": {"long key": 2, "k": [3]}},
            {"large": 1e300, "small": 5e-324, "round": 1e16, "one": 1.0, "zero": -0.0},
            {"text": "a\u0000b", "\u0000": "\u2028 ' \\ \U0001f3b5"},
            None,
            [],
        ],
    )
    async def test_a_result_is_kept_exactly_as_it_was_made(
        self, log: PostgresLog, runs: RunStore, data: object
    ) -> None:
        """A reused result must have the hash of the one that was made: the database may not touch it."""
        picture = Artifact("018f0000-0000-7000-8000-000000000009", "image/png", "artifact://x", "ab", 3, "a\u0000.png")
        output = Output(data, (picture,))
        run = await queued(runs)
        await saved(runs, run, TAKEN, started("a"), StepCompleted(AT, "a", 1, output, "h", 1.0))
        (row,) = rows(log, "cached", run)
        assert row["output"].encode() == orjson.dumps(output_to_json(output))
        assert row["size_bytes"] == len(row["output"].encode())
        assert row["output_hash"] == "h"

    async def test_a_step_without_the_cache_leaves_nothing(self, log: PostgresLog, runs: RunStore) -> None:
        run = await queued(runs)
        await saved(runs, run, TAKEN, started("b"), StepCompleted(AT, "b", 1, Output(1), "h", 1.0))
        assert rows(log, "cached", run) == []
