"""One commit for all who wait, and the truth for each of them."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from eventsourcing.persistence import OperationalError, StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorder import LogRecorder
from tests.integration.eventstore.logs import append, new_stream, open_log, started, workers_of
from tests.servers import Databases


class GatedRecorder(LogRecorder):
    """Writes when it is let: until then appends pile up behind the first one."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.waiting = threading.Event()
        self.batches: list[int] = []

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        self.waiting.set()
        assert self.gate.wait(30)
        positions = super().insert_events(stored_events, **kwargs)
        self.batches.append(len(positions))
        return positions


class GoneRecorder(LogRecorder):
    """The database is away and does not come back."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        raise OperationalError("connection refused")

    def read_stream(self, *_: Any) -> Any:
        raise OperationalError("connection refused")


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at streams of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def log(database_url: str) -> Iterator[PostgresLog]:
    with open_log(database_url, recorder=GatedRecorder) as opened:
        recorder = recorder_of(opened)
        yield opened
        recorder.gate.set()


@pytest.fixture
def start(log: PostgresLog) -> int:
    """The last position before the test."""
    return log.last_position()


def recorder_of(log: PostgresLog) -> GatedRecorder:
    assert isinstance(log.recorder, GatedRecorder)
    return log.recorder


async def pile_up(log: PostgresLog, *appends: Callable[[], Any]) -> list[Any]:
    """Let the appends pile up behind one that is being written; return their outcomes once all are told."""
    first = asyncio.create_task(append(log, new_stream(), 0, "first"))
    assert await asyncio.to_thread(recorder_of(log).waiting.wait, 30)
    tasks = [asyncio.ensure_future(one()) for one in appends]
    await asyncio.sleep(0)
    recorder_of(log).gate.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_whatever_waits_goes_into_one_commit(log: PostgresLog, start: int) -> None:
    streams = [new_stream() for _ in range(100)]
    positions = await pile_up(log, *(lambda s=s: append(log, s, 0, "a", "b") for s in streams))
    assert recorder_of(log).batches == [1, 200]
    assert log.committer.batches == 2
    assert log.committer.appended == 201
    assert positions == list(range(start + 2, start + 202, 2)), "each is told the position of its own first event"
    for stream, position in zip(streams, positions, strict=True):
        assert [item.position for item in log.read(stream)] == [position, position + 1]


async def test_of_a_batch_only_the_stream_in_conflict_is_told(log: PostgresLog, start: int) -> None:
    taken, streams = new_stream(), [new_stream() for _ in range(20)]
    await_taken = [lambda: append(log, taken, 0, "mine")]
    appends = [lambda s=s: append(log, s, 0, "x") for s in streams]
    outcomes = await pile_up(log, *appends[:10], *await_taken, lambda: append(log, taken, 0, "other"), *appends[10:])
    conflicts = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)]
    assert conflicts == [11]
    assert isinstance(outcomes[11], VersionConflict)
    assert workers_of(log.read(taken)) == ["mine"]
    assert all(workers_of(log.read(stream)) == ["x"] for stream in streams)
    positions = sorted(outcome - start for outcome in outcomes if isinstance(outcome, int))
    assert positions == list(range(2, 23)), "no gap where the conflict was"


async def test_of_two_that_append_the_very_same_one_is_told_that_it_lost(log: PostgresLog) -> None:
    """The same event, time and author do not make two decisions one."""
    stream = new_stream()
    outcomes = await pile_up(log, *(lambda: append(log, stream, 0, "x") for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [int, VersionConflict, VersionConflict]
    assert len(log.read(stream)) == 1


async def test_of_a_batch_only_the_append_that_cannot_be_written_is_told(log: PostgresLog) -> None:
    bad, good = new_stream(), [new_stream() for _ in range(3)]

    def broken() -> Any:
        return log.append(bad, 0, [started("x")], tenant="t", actor="a", inline={"queue_drop": ["no uuid"]})

    outcomes = await pile_up(log, *(lambda s=s: append(log, s, 0, "x") for s in good), broken)
    assert [isinstance(outcome, int) for outcome in outcomes] == [True, True, True, False]
    assert "no uuid" in str(outcomes[3])
    assert log.read(bad) == []


async def test_an_append_that_was_cancelled_before_it_was_sent_is_withdrawn(log: PostgresLog) -> None:
    stream, kept = new_stream(), new_stream()

    async def withdrawn() -> int:
        task = asyncio.create_task(append(log, stream, 0, "x"))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    outcomes = await pile_up(log, withdrawn, lambda: append(log, kept, 0, "x"))
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert log.read(stream) == []
    assert len(log.read(kept)) == 1


async def test_one_that_is_cancelled_while_it_is_written_disturbs_nobody(log: PostgresLog) -> None:
    stream = new_stream()
    task = asyncio.create_task(append(log, stream, 0, "x"))
    assert await asyncio.to_thread(recorder_of(log).waiting.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    recorder_of(log).gate.set()
    await append(log, new_stream(), 0, "y")
    assert workers_of(log.read(stream)) == ["x"], "it had been sent"


async def test_a_very_large_pile_is_written_in_several_commits(log: PostgresLog) -> None:
    names = [str(number) for number in range(500)]
    await pile_up(log, *(lambda: append(log, new_stream(), 0, *names) for _ in range(12)))
    assert sum(recorder_of(log).batches) == 6001
    assert max(recorder_of(log).batches) <= 4500


async def test_closing_writes_what_is_queued_and_refuses_what_comes_later(log: PostgresLog) -> None:
    streams = [new_stream() for _ in range(5)]
    tasks = [asyncio.create_task(append(log, stream, 0, "x")) for stream in streams]
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(log.committer.close))
    assert await asyncio.to_thread(recorder_of(log).waiting.wait, 30)
    while not log.committer._stopping.is_set():
        await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match="closed"):
        await append(log, new_stream(), 0, "late")
    recorder_of(log).gate.set()
    await closing
    await asyncio.gather(*tasks)
    assert all(workers_of(log.read(stream)) == ["x"] for stream in streams)


async def test_closing_while_the_database_is_away_gives_up_what_is_queued(database_url: str) -> None:
    with open_log(database_url, recorder=GoneRecorder) as log:
        tasks = [asyncio.create_task(append(log, new_stream(), 0, "x")) for _ in range(3)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(log.committer.close)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, ConnectionError) for outcome in outcomes)


async def test_appends_from_many_loops_share_commits(log: PostgresLog, start: int) -> None:
    """The committer serves the process: each loop is told on its own."""
    recorder_of(log).gate.set()

    def one_loop(number: int) -> list[int]:
        async def write() -> list[int]:
            streams = [new_stream() for _ in range(20)]
            return await asyncio.gather(*(append(log, stream, 0, f"{number}") for stream in streams))

        return asyncio.run(write())

    positions = await asyncio.gather(*(asyncio.to_thread(one_loop, number) for number in range(4)))
    assert sorted(position - start for loop in positions for position in loop) == list(range(1, 81))
    assert log.committer.batches < 80
