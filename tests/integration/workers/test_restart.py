"""Worker processes that are killed: their runs go on at once, whatever the lease."""

import time
from pathlib import Path

import pytest

from orchestrator.domain.events import RunRecovered, StepCompleted, StepStarted
from orchestrator.postgres.embedded import EmbeddedPostgres
from tests.chaos.fleet import open_fleet
from tests.chaos.ledger import Ledger, open_ledger
from tests.waiting import until

RUNS = 5


@pytest.fixture
def young_postgres(own_postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that was started a moment ago: that a session is missing proves nothing yet."""
    own_postgres.restart()
    return own_postgres


async def under_way(ledger: Ledger) -> None:
    """Runs of slow steps, each with some of them completed and some executing."""
    await ledger.register()
    for seed in range(RUNS):
        await ledger.trigger(seed=seed)
    for run_id in ledger.asked:
        await ledger.reaches(run_id, 6)


async def recovered(ledger: Ledger) -> list[RunRecovered]:
    def takeovers() -> list[RunRecovered]:
        ledger.follow()
        return [one.event for run in ledger.history.values() for one in run if isinstance(one.event, RunRecovered)]

    return await until(takeovers, what="all runs were taken over", right=lambda found: len(found) >= RUNS)


async def test_a_restarted_worker_goes_on_at_once_though_postgres_has_just_started_too(
    young_postgres: EmbeddedPostgres,
) -> None:
    """R20: with a lease of a minute, so that nobody can have waited for it."""
    url, folder = young_postgres.conninfo(), young_postgres.home.folder
    with open_ledger(url, folder) as ledger, open_fleet(url, folder, step_seconds=0.5, lease_seconds=60) as fleet:
        (first,) = fleet.start()
        await under_way(ledger)
        first.kill()
        died = time.time() * 1000
        fleet.start()
        takeovers = await recovered(ledger)
        assert max(event.at for event in takeovers) - died < 10_000
        assert {event.lost_worker for event in takeovers} == {first.id}
        await ledger.all_over()
        assert ledger.faults() == []


async def test_of_two_workers_one_is_killed_and_the_other_goes_on_within_lease_and_a_second(
    database_url: str, data_dir: Path
) -> None:
    """R20. And what is repeated is what was executing."""
    lease = 3.0
    with (
        open_ledger(database_url, data_dir) as ledger,
        open_fleet(database_url, data_dir, step_seconds=0.5, lease_seconds=lease) as fleet,
    ):
        (victim,) = fleet.start()
        await under_way(ledger)
        (heir,) = fleet.start()
        victim.kill()
        died = time.time() * 1000
        takeovers = await recovered(ledger)
        assert max(event.at for event in takeovers) - died < (lease + 1) * 1000
        assert {event.worker for event in takeovers} == {heir.id}
        await ledger.all_over()
        assert ledger.faults() == []
        for run_id in ledger.asked:
            history = ledger.read(run_id)
            before = [one.event for one in history if one.actor == victim.id]
            after = {one.event.step for one in history if one.actor == heir.id and isinstance(one.event, StepStarted)}
            completed = {event.step for event in before if isinstance(event, StepCompleted)}
            executing = {event.step for event in before if isinstance(event, StepStarted)} - completed
            assert completed
            assert executing
            assert after & completed == set()
            assert executing <= after
