"""A reader that follows the log by position never misses an event, whatever the writers are doing.

The danger: a writer has its positions but has not committed, a second one commits later positions, the reader
sees those and goes on after them. Then the first one commits, and nobody ever reads what it wrote.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from orchestrator.eventstore.log import PostgresLog
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.postgres.sql import load_sql
from tests.integration.eventstore.logs import follow, new_stream, open_database, open_log, stored
from tests.waiting import eventually

SQL = load_sql(__file__)
APPEND, UNSAFE = "append", "append_unsafely"


@pytest.fixture
def log(database_url: str) -> Iterator[PostgresLog]:
    with open_log(database_url) as opened:
        yield opened


@contextmanager
def writer(url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A connection whose transaction ends when it is told to."""
    connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def write(connection: "psycopg.Connection[tuple[object, ...]]", how: str, note: str, count: int = 2) -> None:
    """Append, without a commit."""
    stream = new_stream()
    events = [stored(stream, version, note) for version in range(1, count + 1)]
    columns = (
        [event.originator_id for event in events],
        [event.originator_version for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )
    connection.execute(SQL[how], columns)


def notes(history: list[Recorded]) -> list[str]:
    return [getattr(recorded.event, "reason", "") for recorded in history]


def until_somebody_waits(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        eventually(
            lambda: connection.execute(SQL.waits_for_lock).fetchone(),
            20,
            "somebody waits for the lock of the append",
            right=lambda row: row == (1,),
        )


def test_without_the_lock_a_follower_misses_what_commits_late(log: PostgresLog, database_url: str) -> None:
    """This shows that the tests below can fail: the same story with an append that takes no lock."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SQL.make_unsafe)
    with writer(database_url) as slow, writer(database_url) as fast:
        write(slow, UNSAFE, "slow")
        write(fast, UNSAFE, "fast")
        fast.commit()
        seen, position = follow(log, 0)
        assert notes(seen) == ["fast", "fast"]
        slow.commit()
        later, _ = follow(log, position)
        assert later == [], "the follower has passed them by"
        assert notes(log.read_log(0, 10)) == ["slow", "slow", "fast", "fast"]


def test_a_second_writer_waits_until_the_first_has_committed(log: PostgresLog, database_url: str) -> None:
    with writer(database_url) as slow, writer(database_url) as fast, ThreadPoolExecutor(1) as thread:
        write(slow, APPEND, "slow")
        second = thread.submit(write, fast, APPEND, "fast")
        until_somebody_waits(database_url)
        assert not second.done()
        assert follow(log, 0) == ([], 0), "what is not committed is not seen, and nothing after it either"
        slow.commit()
        second.result(20)
        seen, position = follow(log, 0)
        assert notes(seen) == ["slow", "slow"]
        fast.commit()
        later, position = follow(log, position)
        assert notes(later) == ["fast", "fast"]
        assert position == 4


def test_a_writer_that_gives_up_leaves_no_gap(log: PostgresLog, database_url: str) -> None:
    with writer(database_url) as slow, writer(database_url) as fast, ThreadPoolExecutor(1) as thread:
        write(slow, APPEND, "slow")
        second = thread.submit(write, fast, APPEND, "fast")
        until_somebody_waits(database_url)
        slow.rollback()
        second.result(20)
        fast.commit()
    seen, position = follow(log, 0)
    assert notes(seen) == ["fast", "fast"]
    assert [recorded.position for recorded in seen] == [1, 2]
    assert position == 2


def test_a_writer_that_is_killed_lets_the_next_one_go_on(log: PostgresLog, database_url: str) -> None:
    with writer(database_url) as slow, writer(database_url) as fast, ThreadPoolExecutor(1) as thread:
        write(slow, APPEND, "slow")
        second = thread.submit(write, fast, APPEND, "fast")
        until_somebody_waits(database_url)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(SQL.terminate, (slow.info.backend_pid,))
        second.result(20)
        fast.commit()
    assert notes(log.read_log(0, 10)) == ["fast", "fast"]


def test_a_follower_sees_everything_eight_writers_write(log: PostgresLog, database_url: str) -> None:
    """Four processes' worth of connections, two threads each, appending past any committer."""
    rounds, size = 40, 5
    done = threading.Event()
    seen: list[Recorded] = []

    def read_on() -> None:
        position, finished = 0, False
        while True:
            finished = done.is_set()
            batch, position = follow(log, position, limit=37)
            seen.extend(batch)
            if finished and not batch:
                return

    def write_much(recorder: LogRecorder, name: str) -> None:
        for number in range(rounds):
            stream = new_stream()
            recorder.insert_events([stored(stream, version, f"{name}/{number}") for version in range(1, size + 1)])

    with ExitStack() as stack:
        databases = [stack.enter_context(open_database(database_url)) for _ in range(4)]
        recorders = [LogRecorder(database) for database in databases for _ in range(2)]
        threads = stack.enter_context(ThreadPoolExecutor(9))
        follower = threads.submit(read_on)
        writers = [threads.submit(write_much, item, f"{place}") for place, item in enumerate(recorders)]
        for future in writers:
            future.result(60)
        done.set()
        follower.result(60)
    assert [recorded.position for recorded in seen] == list(range(1, 8 * rounds * size + 1))
    for place in range(8):
        mine = [note for note in notes(seen) if note.startswith(f"{place}/")]
        assert mine == [f"{place}/{number}" for number in range(rounds) for _ in range(size)]
