"""One commit for all who wait, and the truth for each of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.log_session import LogSession
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.integration.eventstore.logs import append, new_stream, open_log, started, workers_of
from tests.servers import Databases


class GatedSession(LogSession):
    """Writes when it is let: until then appends pile up behind the first one."""

    def __init__(self, session: LoopSession) -> None:
        super().__init__(session)
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()
        self.batches: list[int] = []

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        self.waiting.set()
        await self.gate.wait()
        position = await super().insert(stored, inline)
        self.batches.append(len(stored))
        return position


class GoneSession(LogSession):
    """The database is unavailable and does not come back."""

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        raise DatabaseUnavailable("connection refused")

    async def read(self, stream_id: UUID, after_version: int) -> list[tuple[StoredEvent, int]]:
        raise DatabaseUnavailable("connection refused")


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at streams of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def sessions() -> list[GatedSession]:
    return []


@pytest.fixture
def log(database_url: str, sessions: list[GatedSession]) -> Iterator[PostgresLog]:
    def open_session(session: LoopSession) -> GatedSession:
        sessions.append(GatedSession(session))
        return sessions[-1]

    with open_log(database_url, session=open_session) as opened:
        yield opened


@pytest.fixture
def start(log: PostgresLog) -> int:
    """The last position before the test."""
    return log.last_position()


async def sending(sessions: list[GatedSession]) -> GatedSession:
    """The session, once an append is being sent through it."""
    while not sessions:
        await asyncio.sleep(0)
    await sessions[-1].waiting.wait()
    return sessions[-1]


PileUp = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
def pile_up(log: PostgresLog, sessions: list[GatedSession]) -> PileUp:
    """Lets appends pile up behind one that is being written; returns their outcomes once all are told."""

    async def pile(*appends: Callable[[], Any]) -> list[Any]:
        first = asyncio.create_task(append(log, new_stream(), 0, "first"))
        session = await sending(sessions)
        tasks = [asyncio.ensure_future(one()) for one in appends]
        await asyncio.sleep(0)
        session.gate.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    return pile


async def test_whatever_waits_goes_into_one_commit(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp, start: int
) -> None:
    streams = [new_stream() for _ in range(100)]
    positions = await pile_up(*(lambda s=s: append(log, s, 0, "a", "b") for s in streams))
    assert sessions[0].batches == [1, 200]
    assert log.writer.batches == 2
    assert log.writer.appended == 201
    assert positions == list(range(start + 2, start + 202, 2)), "each is told the position of its own first event"
    for stream, position in zip(streams, positions, strict=True):
        assert [item.position for item in log.read(stream)] == [position, position + 1]


async def test_of_a_batch_only_the_stream_in_conflict_is_told(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp, start: int
) -> None:
    taken, streams = new_stream(), [new_stream() for _ in range(20)]
    await_taken = [lambda: append(log, taken, 0, "mine")]
    appends = [lambda s=s: append(log, s, 0, "x") for s in streams]
    outcomes = await pile_up(*appends[:10], *await_taken, lambda: append(log, taken, 0, "other"), *appends[10:])
    conflicts = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)]
    assert conflicts == [11]
    assert isinstance(outcomes[11], VersionConflict)
    assert workers_of(log.read(taken)) == ["mine"]
    assert all(workers_of(log.read(stream)) == ["x"] for stream in streams)
    positions = sorted(outcome - start for outcome in outcomes if isinstance(outcome, int))
    assert positions == list(range(2, 23)), "no gap where the conflict was"


async def test_of_two_that_append_the_very_same_one_is_told_that_it_lost(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp
) -> None:
    """The same event, time and author do not make two decisions one."""
    stream = new_stream()
    outcomes = await pile_up(*(lambda: append(log, stream, 0, "x") for _ in range(3)))
    assert [type(outcome) for outcome in outcomes] == [int, VersionConflict, VersionConflict]
    assert len(log.read(stream)) == 1


async def test_of_a_batch_only_the_append_that_cannot_be_written_is_told(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp
) -> None:
    bad, good = new_stream(), [new_stream() for _ in range(3)]

    def broken() -> Any:
        return log.append(bad, 0, [started("x")], tenant="t", actor="a", inline={"queue_drop": ["no uuid"]})

    outcomes = await pile_up(*(lambda s=s: append(log, s, 0, "x") for s in good), broken)
    assert [isinstance(outcome, int) for outcome in outcomes] == [True, True, True, False]
    assert "no uuid" in str(outcomes[3])
    assert log.read(bad) == []


async def test_an_append_that_was_cancelled_before_it_was_sent_is_withdrawn(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp
) -> None:
    stream, kept = new_stream(), new_stream()

    async def withdrawn() -> int:
        task = asyncio.create_task(append(log, stream, 0, "x"))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    outcomes = await pile_up(withdrawn, lambda: append(log, kept, 0, "x"))
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert log.read(stream) == []
    assert len(log.read(kept)) == 1


async def test_one_that_is_cancelled_while_it_is_written_disturbs_nobody(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp
) -> None:
    stream = new_stream()
    task = asyncio.create_task(append(log, stream, 0, "x"))
    session = await sending(sessions)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    session.gate.set()
    await append(log, new_stream(), 0, "y")
    assert workers_of(log.read(stream)) == ["x"], "it had been sent"


async def test_a_very_large_pile_is_written_in_several_commits(
    log: PostgresLog, sessions: list[GatedSession], pile_up: PileUp
) -> None:
    names = [str(number) for number in range(500)]
    await pile_up(*(lambda: append(log, new_stream(), 0, *names) for _ in range(12)))
    assert sum(sessions[0].batches) == 6001
    assert max(sessions[0].batches) <= 4500


async def test_closing_tells_what_waits_and_refuses_what_comes_later(
    log: PostgresLog, sessions: list[GatedSession]
) -> None:
    tasks = [asyncio.create_task(append(log, new_stream(), 0, "x")) for _ in range(3)]
    session = await sending(sessions)
    tasks.append(asyncio.create_task(append(log, new_stream(), 0, "y")))
    await asyncio.sleep(0)
    log.writer.close()
    session.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[3], DatabaseUnavailable)
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await append(log, new_stream(), 0, "late")


async def test_closing_while_the_database_is_away_gives_up_what_is_queued(database_url: str) -> None:
    with open_log(database_url, session=GoneSession) as log:
        tasks = [asyncio.create_task(append(log, new_stream(), 0, "x")) for _ in range(3)]
        while not log.writer._in_doubt:
            await asyncio.sleep(0)
        log.writer.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)


def test_when_a_loop_has_ended_the_next_one_writes(database_url: str) -> None:
    stream = new_stream()
    with open_log(database_url) as log:
        for version in range(3):
            asyncio.run(append(log, stream, version, f"{version}"))
        assert workers_of(log.read(stream)) == ["0", "1", "2"]


def test_what_a_loop_was_writing_when_it_ended_disturbs_nobody(database_url: str) -> None:
    streams = [new_stream() for _ in range(3)]

    async def leave(log: PostgresLog) -> None:
        await append(log, streams[0], 0, "0")
        tasks = [asyncio.create_task(append(log, stream, 0, "left")) for stream in streams[1:]]
        while not log.writer._sent:
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    with open_log(database_url) as log:
        asyncio.run(leave(log))
        asyncio.run(append(log, streams[0], 1, "1"))
        assert workers_of(log.read(streams[0])) == ["0", "1"]
        assert all(workers_of(log.read(stream)) in ([], ["left"]) for stream in streams[1:])


async def test_appends_from_other_loops_are_written_by_the_first(database_url: str) -> None:
    with open_log(database_url) as log:
        await append(log, new_stream(), 0, "here")

        def elsewhere() -> list[int]:
            async def write() -> list[int]:
                return await asyncio.gather(*(append(log, new_stream(), 0, "there") for _ in range(20)))

            return asyncio.run(write())

        positions = await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(3)))
        assert len({position for found in positions for position in found}) == 60
        assert log.writer.batches <= 61
