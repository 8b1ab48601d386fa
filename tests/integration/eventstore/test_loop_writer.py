"""A loop that writes by itself: as long as all goes well. What does not the thread sees to."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.log import PostgresLog
from tests.integration.eventstore.logs import SQL, append, new_stream, open_log, started, workers_of
from tests.servers import Databases

HERE = threading.main_thread().name


@dataclass(frozen=True, slots=True)
class Commits:
    """The commits of a test: who made them, and how many events each had. The thread notes them after it has told."""

    made: list[tuple[str, int]] = field(default_factory=list)

    def note(self, events: int, _seconds: float) -> None:
        self.made.append((threading.current_thread().name, events))

    async def all_of(self, events: int) -> list[tuple[str, int]]:
        """The commits, once so many events are among them."""
        async with asyncio.timeout(30):
            while sum(count for _, count in self.made) < events:
                await asyncio.sleep(0.001)
        return self.made


@pytest.fixture(scope="module")
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """One database for all tests of this module: each looks at streams of its own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def log(database_url: str, commits: Commits) -> Iterator[PostgresLog]:
    with open_log(database_url, on_loop=True, on_commit=commits.note) as opened:
        yield opened


async def test_what_is_appended_in_one_turn_goes_into_one_commit(log: PostgresLog, commits: Commits) -> None:
    start = log.last_position()
    streams = [new_stream() for _ in range(100)]
    positions = await asyncio.gather(*(append(log, stream, 0, "a", "b") for stream in streams))
    assert positions == list(range(start + 1, start + 201, 2))
    assert commits.made == [(HERE, 200)]
    for stream, position in zip(streams, positions, strict=True):
        assert [item.position for item in log.read(stream)] == [position, position + 1]


async def test_what_is_appended_meanwhile_goes_into_the_next_one(log: PostgresLog, commits: Commits) -> None:
    await append(log, new_stream(), 0, "first")
    tasks = [asyncio.create_task(append(log, new_stream(), 0, "x")) for _ in range(5)]
    while log.committer._on_loop is not None and not log.committer._on_loop._sent:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(append(log, new_stream(), 0, "x")) for _ in range(7)]
    await asyncio.gather(*tasks)
    assert commits.made == [(HERE, 1), (HERE, 5), (HERE, 7)]


async def test_a_very_large_pile_is_written_in_several_commits(log: PostgresLog, commits: Commits) -> None:
    names = [str(number) for number in range(500)]
    await asyncio.gather(*(append(log, new_stream(), 0, *names) for _ in range(12)))
    assert [events for _, events in commits.made] == [4000, 2000]


async def test_of_a_batch_only_the_stream_in_conflict_is_told(log: PostgresLog, commits: Commits) -> None:
    taken, streams = new_stream(), [new_stream() for _ in range(5)]
    await append(log, taken, 0, "mine")
    appends = [append(log, stream, 0, "x") for stream in (*streams[:3], taken, *streams[3:])]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [int, int, int, VersionConflict, int, int]
    assert workers_of(log.read(taken)) == ["mine"]
    assert all(workers_of(log.read(stream)) == ["x"] for stream in streams)
    await append(log, new_stream(), 0, "y")
    assert commits.made[-1] == (HERE, 1), "it goes on by itself"


async def test_an_append_that_was_cancelled_before_it_was_sent_is_withdrawn(log: PostgresLog) -> None:
    stream, kept = new_stream(), new_stream()
    task = asyncio.create_task(append(log, stream, 0, "x"))
    await asyncio.sleep(0)
    task.cancel()
    await append(log, kept, 0, "x")
    assert task.cancelled()
    assert log.read(stream) == []
    assert len(log.read(kept)) == 1


async def test_after_the_connection_was_lost_the_thread_writes_for_a_while(
    log: PostgresLog, commits: Commits, database_url: str
) -> None:
    stream = new_stream()
    await append(log, stream, 0, "before")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SQL.terminate_others)
    await append(log, stream, 1, "meanwhile")
    assert (await commits.all_of(2))[1] == ("committer", 1)
    async with asyncio.timeout(30):
        version = 2
        while commits.made[-1][0] != HERE:
            await append(log, stream, version, "after")
            version += 1
    assert [item.version for item in log.read(stream)] == list(range(1, version + 1))


async def test_other_loops_are_served_by_the_thread(log: PostgresLog, commits: Commits) -> None:
    await append(log, new_stream(), 0, "here")

    async def elsewhere() -> list[int]:
        return await asyncio.gather(*(append(log, new_stream(), 0, "there") for _ in range(20)))

    positions = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert len(set(positions)) == 20
    assert {who for who, _ in (await commits.all_of(21))[1:]} == {"committer"}
    await append(log, new_stream(), 0, "here")
    assert commits.made[-1] == (HERE, 1)


def test_when_a_loop_has_ended_the_next_one_writes_by_itself(log: PostgresLog, commits: Commits) -> None:
    stream = new_stream()
    for version in range(3):
        asyncio.run(append(log, stream, version, f"{version}"))
    assert workers_of(log.read(stream)) == ["0", "1", "2"]
    assert {who for who, _ in commits.made} == {HERE}


def test_what_a_loop_was_writing_when_it_ended_is_seen_to(log: PostgresLog) -> None:
    """In the log or not; the next one is not disturbed, and nothing is written twice."""
    streams = [new_stream() for _ in range(3)]

    async def leave() -> None:
        await append(log, streams[0], 0, "0")
        tasks = [asyncio.create_task(append(log, stream, 0, "left")) for stream in streams[1:]]
        while log.committer._on_loop is not None and not log.committer._on_loop._sent:
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    asyncio.run(leave())
    asyncio.run(append(log, streams[0], 1, "1"))
    log.committer.close()
    assert workers_of(log.read(streams[0])) == ["0", "1"]
    assert [workers_of(log.read(stream)) for stream in streams[1:]] == [["left"], ["left"]]


def test_what_was_left_by_a_loop_that_was_closed_in_the_midst_of_it(log: PostgresLog, commits: Commits) -> None:
    streams = [new_stream() for _ in range(3)]

    async def begin() -> list["asyncio.Task[int]"]:
        await append(log, streams[0], 0, "0")
        tasks = [asyncio.create_task(append(log, streams[1], 0, "left"))]
        while log.committer._on_loop is not None and not log.committer._on_loop._sent:
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(append(log, streams[2], 0, "left")))
        await asyncio.sleep(0)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        return tasks

    loop = asyncio.new_event_loop()
    abandoned = loop.run_until_complete(begin())
    loop.close()
    asyncio.run(append(log, streams[0], 1, "1"))
    del abandoned
    gc.collect()
    asyncio.run(append(log, streams[0], 2, "2"))
    assert sum(who == HERE for who, _ in commits.made) >= 3, "the next loops write by themselves"
    log.committer.close()
    assert workers_of(log.read(streams[0])) == ["0", "1", "2"]
    assert [workers_of(log.read(stream)) for stream in streams[1:]] == [["left"], ["left"]]


async def test_closing_sees_to_what_is_under_way_and_refuses_what_comes_later(log: PostgresLog) -> None:
    streams = [new_stream() for _ in range(6)]
    await append(log, new_stream(), 0, "first")
    tasks = [asyncio.create_task(append(log, stream, 0, "x")) for stream in streams[:3]]
    while log.committer._on_loop is not None and not log.committer._on_loop._sent:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(append(log, stream, 0, "x")) for stream in streams[3:]]
    await asyncio.sleep(0)
    log.committer.close()
    with pytest.raises(ConnectionError, match="closed"):
        await append(log, new_stream(), 0, "late")
    positions = await asyncio.gather(*tasks)
    assert len(set(positions)) == 6
    for stream, position in zip(streams, positions, strict=True):
        assert [item.position for item in log.read(stream)] == [position]


async def test_inline_rows_are_written_with_it(log: PostgresLog, database_url: str) -> None:
    stream = new_stream()
    row = {"run_id": stream, "tenant": "t", "priority": 0}
    await log.append(stream, 0, [started("a")], tenant="t", actor="a", inline={"queue_put": [row]})
    with psycopg.connect(database_url) as connection:
        assert connection.execute(SQL.queue, ([stream],)).fetchall() == [(stream,)]
