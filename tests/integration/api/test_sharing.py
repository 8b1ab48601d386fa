"""Many who ask at once are answered together, and each sees what was written before they asked."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.projections.views.reader import Reader
from orchestrator.projections.views.values import View
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect, trigger
from tests.world.lines import LINE


class Slow:
    """A function of the database whose calls go on until they are let go; it counts them."""

    def __init__(self) -> None:
        self.value = 0
        self.calls: list[int] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def ask(self, number: int) -> int:
        found = self.value + number
        self.calls.append(number)
        self.begun.set()
        self.go_on.wait(10)
        if number < 0:
            raise LookupError(number)
        return found


async def test_those_who_ask_while_a_call_is_under_way_share_the_next_one(core: Core) -> None:
    shared, slow = SharedCalls(core.database), Slow()
    first = asyncio.create_task(shared.call(slow.ask, 1))
    await asyncio.to_thread(slow.begun.wait)
    slow.value = 10  # the first call did not see this; whoever asks from here on must
    later = [asyncio.create_task(shared.call(slow.ask, 1)) for _ in range(20)]
    other = asyncio.create_task(shared.call(slow.ask, 2))
    await asyncio.sleep(0.1)  # the time itself is the subject: nobody is answered meanwhile
    assert not any(task.done() for task in (first, other, *later))
    assert sorted(slow.calls) == [1, 2]  # one round at a time, and no waiting for other questions
    slow.go_on.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [11] * 20
    assert await other == 12
    assert sorted(slow.calls) == [1, 1, 2]
    assert await shared.call(slow.ask, 1) == 11


async def test_an_error_is_told_to_all_and_does_not_last(core: Core) -> None:
    shared, slow = SharedCalls(core.database), Slow()
    slow.go_on.set()
    for _ in range(2):
        asking = [asyncio.create_task(shared.call(slow.ask, -1)) for _ in range(3)]
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in found] == [LookupError] * 3
    assert len(slow.calls) == 2


async def test_who_gives_up_takes_nobody_along(core: Core) -> None:
    shared, slow = SharedCalls(core.database), Slow()
    tasks = [asyncio.create_task(shared.call(slow.ask, 1)) for _ in range(3)]
    await asyncio.to_thread(slow.begun.wait)
    tasks[0].cancel()
    slow.go_on.set()
    assert await asyncio.gather(*tasks[1:]) == [1, 1]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


class Counting(Reader):
    """Notes which runs are asked for together."""

    batches: list[int]

    def runs_named(self, tenant: str, run_ids: Sequence[str]) -> dict[str, View]:
        self.batches.append(len(run_ids))
        return super().runs_named(tenant, run_ids)


async def test_runs_asked_for_at_once_take_few_queries(core: Core) -> None:
    await register(core, LINE)
    reader = Counting(core.database, core.runs, core.workflows.get)
    reader.batches = []
    async with connect(create_app(replace(core, reader=reader), LIMITS)) as client:
        with open_projector(core):
            ids = [await trigger(client) for _ in range(50)]
            answers = await asyncio.gather(*(client.get(f"{RUNS}/{run_id}") for run_id in ids))
    assert [answer.json()["id"] for answer in answers] == ids
    assert sum(reader.batches) == 50
    assert len(reader.batches) < 10
