"""The connection is lost while an append is under way: in the end it is in the log once, or its author is told."""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.log_session import LogSession
from orchestrator.postgres.loop_session import LoopSession
from orchestrator.postgres.unavailable import DatabaseUnavailable
from tests.integration.eventstore.logs import SQL, append, new_stream, open_log, started, stored, workers_of
from tests.servers import Databases


class UnluckySession(LogSession):
    """Loses the connection as told: `fate` holds, for each call to come, when it is lost."""

    def __init__(self, session: LoopSession) -> None:
        super().__init__(session)
        self.fate: list[str] = []
        self.meanwhile: list[list[StoredEvent]] = []
        self.calls = 0

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        self.calls += 1
        when = self.fate.pop(0) if self.fate else "never"
        if when == "before":
            for events in self.meanwhile:
                await super().insert(events, None)
            raise DatabaseUnavailable("gone")
        position = await super().insert(stored, inline)
        if when == "after":
            raise DatabaseUnavailable("gone")
        return position


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at streams of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def sessions() -> list[UnluckySession]:
    return []


@pytest.fixture
def log(database_url: str, sessions: list[UnluckySession]) -> Iterator[PostgresLog]:
    def open_session(session: LoopSession) -> UnluckySession:
        sessions.append(UnluckySession(session))
        return sessions[-1]

    with open_log(database_url, session=open_session) as opened:
        yield opened


@pytest.fixture
async def unlucky(log: PostgresLog, sessions: list[UnluckySession]) -> UnluckySession:
    """The session that the log is written through."""
    await append(log, new_stream(), 0, "first")
    sessions[0].calls = 0
    return sessions[0]


@pytest.fixture
def start(unlucky: UnluckySession, log: PostgresLog) -> int:
    """The last position before the test."""
    return log.last_position()


async def test_an_answer_lost_after_the_commit_is_found_out(
    log: PostgresLog, unlucky: UnluckySession, start: int
) -> None:
    unlucky.fate = ["after"]
    stream = new_stream()
    assert await append(log, stream, 0, "a", "b") == start + 1
    assert workers_of(log.read(stream)) == ["a", "b"]
    assert (log.last_position(), unlucky.calls) == (start + 2, 1)


async def test_what_was_lost_before_the_commit_is_written_again(
    log: PostgresLog, unlucky: UnluckySession, start: int
) -> None:
    unlucky.fate = ["before"] * 3
    stream = new_stream()
    assert await append(log, stream, 0, "a", "b") == start + 1
    assert workers_of(log.read(stream)) == ["a", "b"]
    assert unlucky.calls == 4


async def test_an_append_that_nobody_waits_for_any_more_is_not_written_again(
    log: PostgresLog, unlucky: UnluckySession
) -> None:
    unlucky.fate = ["before"]
    stream = new_stream()
    task = asyncio.create_task(append(log, stream, 0, "a"))
    while unlucky.fate:
        await asyncio.sleep(0)
    task.cancel()
    await append(log, new_stream(), 0, "b")
    assert task.cancelled()
    assert log.read(stream) == []


async def test_a_batch_whose_answer_was_lost_is_found_out_stream_by_stream(
    log: PostgresLog, unlucky: UnluckySession, start: int
) -> None:
    await append(log, new_stream(), 0, "before")
    unlucky.fate = ["after"] * 50
    streams = [new_stream() for _ in range(30)]
    positions = await asyncio.gather(*(append(log, stream, 0, f"{place}") for place, stream in enumerate(streams)))
    for place, (stream, position) in enumerate(zip(streams, positions, strict=True)):
        assert [(item.position, item.version) for item in log.read(stream)] == [(position, 1)]
        assert workers_of(log.read(stream)) == [f"{place}"]
    assert log.last_position() == start + 31


async def test_inline_rows_of_an_append_whose_answer_was_lost_are_written_once(
    log: PostgresLog, unlucky: UnluckySession, database_url: str
) -> None:
    unlucky.fate = ["after", "before"]
    streams = [new_stream() for _ in range(2)]
    for stream in streams:
        row = {"run_id": stream, "tenant": "t", "priority": 0}
        await log.append(stream, 0, [started("a")], tenant="t", actor="a", inline={"queue_put": [row]})
    with psycopg.connect(database_url) as connection:
        assert connection.execute(SQL.queue, (streams,)).fetchall() == sorted((stream,) for stream in streams)


async def test_somebody_else_was_first_meanwhile(log: PostgresLog, unlucky: UnluckySession, start: int) -> None:
    stream = new_stream()
    unlucky.fate = ["before"]
    unlucky.meanwhile = [[stored(stream, note="the winner")]]
    with pytest.raises(VersionConflict, match=stream):
        await append(log, stream, 0, "loser")
    assert workers_of(log.read(stream)) == []
    assert log.last_position() == start + 1


async def test_somebody_went_on_after_it_was_written(log: PostgresLog, unlucky: UnluckySession, start: int) -> None:
    """What follows does not make a conflict of an append that began its stream."""
    stream = new_stream()
    mine = log.mapper.store(UUID(stream), 1, started("mine"), "t", "a")
    unlucky.fate = ["before"]
    unlucky.meanwhile = [[mine], [stored(stream, 2, "the next")]]
    assert await append(log, stream, 0, "mine") == start + 1
    assert len(log.read(stream)) == 2


async def test_somebody_went_on_before_it_was_known_that_it_was_written(
    log: PostgresLog, unlucky: UnluckySession, start: int
) -> None:
    """A run was taken over: its first owner must not begin now what the next one may have completed."""
    stream = new_stream()
    await append(log, stream, 0, "begun")
    mine = log.mapper.store(UUID(stream), 2, started("mine"), "t", "a")
    unlucky.fate = ["before"]
    unlucky.meanwhile = [[mine], [stored(stream, 3, "the next owner")]]
    with pytest.raises(VersionConflict, match="others have appended"):
        await append(log, stream, 1, "mine")
    assert len(log.read(stream)) == 3
    assert log.last_position() == start + 3


async def test_of_a_lost_batch_only_the_stream_in_conflict_is_told(log: PostgresLog, unlucky: UnluckySession) -> None:
    streams = [new_stream() for _ in range(3)]
    unlucky.fate = ["before"]
    unlucky.meanwhile = [[stored(streams[1], note="the winner")]]
    outcomes = await asyncio.gather(*(append(log, stream, 0, "x") for stream in streams), return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    # the first append may have gone out alone, before the other two were queued
    assert kinds == [int, VersionConflict, int]
    assert [len(log.read(stream)) for stream in streams] == [1, 1, 1]


@contextmanager
def killer(url: str) -> Iterator[list[int]]:
    """Terminate every other backend of the database, again and again; yields how many each time."""
    pauses = itertools.cycle([0.02, 0.15, 0.05, 0.3, 0.1])
    stopping = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stopping.wait(next(pauses)):
                row = connection.execute(SQL.terminate_others).fetchone()
                killed.append(row[0] if row else 0)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stopping.set()
        thread.join()


async def test_while_backends_are_killed_every_append_ends_up_in_the_log_once(database_url: str) -> None:
    with open_log(database_url) as log:
        before = log.last_position()
    with open_log(database_url) as log, killer(database_url) as killed:

        async def write(stream: str) -> None:
            """Eight appends in a row, each decided on the one before."""
            for version in range(8):
                row = {"run_id": stream, "tenant": "t", "priority": 0}
                inline = {"queue_put": [row]} if version == 0 else None
                event = started(f"{version}")
                await log.append(stream, version, [event], tenant="t", actor="a", inline=inline)

        streams = [new_stream() for _ in range(60)]
        async with asyncio.timeout(60):
            await asyncio.gather(*map(write, streams))
        # more of them until it certainly hit somebody
        extra = new_stream()
        version = 0
        while sum(killed) < 5:
            await append(log, extra, version, f"{version}")
            version += 1
    with open_log(database_url) as log:
        for stream in streams:
            assert workers_of(log.read(stream)) == [f"{version}" for version in range(8)]
        assert len(log.read(extra)) == version
        everything = log.read_log(before, 10_000)
        assert [item.position for item in everything] == list(range(before + 1, before + 60 * 8 + version + 1))
        with psycopg.connect(database_url) as connection:
            assert connection.execute(SQL.queue, (streams,)).fetchall() == sorted((stream,) for stream in streams)


async def test_while_backends_are_killed_two_writers_of_a_stream_never_both_win(database_url: str) -> None:
    with (
        open_log(database_url) as one,
        open_log(database_url) as other,
        killer(database_url) as killed,
    ):
        stream, version = new_stream(), 0
        won: list[str] = []

        async def attempt(log: PostgresLog, name: str) -> str | None:
            try:
                await append(log, stream, version, name)
            except VersionConflict:
                return None
            return name

        while len(killed) < 12 or version < 20:
            names = await asyncio.gather(attempt(one, f"one {version}"), attempt(other, f"other {version}"))
            winners = [name for name in names if name is not None]
            assert len(winners) == 1, f"at version {version} both or neither were told that they won: {names}"
            won += winners
            version += 1
    with open_log(database_url) as log:
        assert workers_of(log.read(stream)) == won
