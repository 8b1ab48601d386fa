"""A run that is asked for beside a worker is that worker's from its first moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.errors import IdempotencyConflict
from orchestrator.eventstore.listener import QUEUE
from tests.integration.workers.site import CALLER, Journal, Site, open_site, step, workflow

LONG = workflow("long", step("a", ms="trigger.ms"))


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path, max_runs=2) as opened:
        yield opened


async def test_it_is_never_in_the_queue_of_others(site: Site, journal: Journal) -> None:
    """The row names its owner in the transaction of the first event, and no notification calls for a claim."""
    await site.register(LONG)
    called: list[str] = []
    async with open_worker(site.core, journal.registry()) as worker:
        site.core.listener.on(QUEUE, called.append)
        run_id = await site.trigger("long", ms=200)
        assert site.queue() == {run_id: worker.identity.id}
        assert (await site.finished(run_id)).status == "completed"
        assert called == []
    assert site.queue() == {}


async def test_what_finds_no_room_waits_in_the_queue(site: Site, journal: Journal) -> None:
    await site.register(LONG)
    async with open_worker(site.core, journal.registry()) as worker:
        ids = [await site.trigger("long", ms=60_000) for _ in range(5)]
        owners = site.queue()
        assert [owners[run_id] for run_id in ids] == [worker.identity.id] * 2 + [None] * 3
        for number, run_id in enumerate(ids):
            await journal.begun(min(number + 2, 5))
            await site.core.commands.cancel(CALLER, run_id)
    assert [call.run for call in journal.calls] == ids, "in the order they were asked for"


async def test_a_request_that_leads_to_no_run_takes_up_no_room(site: Site, journal: Journal) -> None:
    await site.register(LONG)
    async with open_worker(site.core, journal.registry()) as worker:
        for _ in range(3):
            await site.core.commands.trigger(CALLER, "long", payload={"ms": 0}, idempotency_key="one")
            with pytest.raises(IdempotencyConflict):
                await site.core.commands.trigger(CALLER, "long", payload={"ms": 1}, idempotency_key="one")
        assert worker.expect("a") == worker.expect("b") == worker.identity.id
        assert worker.expect("c") is None
        worker.forgo("a")
        worker.forgo("b")


async def test_without_a_worker_here_it_is_left_to_the_others(site: Site, journal: Journal) -> None:
    await site.register(LONG)
    async with open_worker(site.core, journal.registry()):
        pass
    run_id = await site.trigger("long", ms=0)
    assert site.queue() == {run_id: None}
