"""The writer against a log in memory whose connection fails as told: nothing is lost, nothing is written twice."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid7

from orchestrator.background.pauses import Backoff
from orchestrator.domain.errors import VersionConflict
from orchestrator.eventstore.memory import MemoryLog
from orchestrator.eventstore.writer import Writer
from orchestrator.postgres.unavailable import DatabaseUnavailable

Fate = Callable[[Sequence[StoredEvent]], str | None]


class FateSession:
    """A connection to a log in memory. `fate` says of each insert: None (goes well), `before` or `after` (is lost)."""

    def __init__(self, log: MemoryLog, fate: Fate, *, reads: Callable[[], bool] = lambda: True) -> None:
        self.log = log
        self.calls = 0
        self._fate = fate
        self._reads = reads

    async def insert(self, stored: Sequence[StoredEvent], inline: str | None) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        when = self._fate(stored)
        if when == "fault":
            raise ZeroDivisionError("a fault of ours")
        if when == "before":
            raise DatabaseUnavailable("gone")
        if when == "read-only":
            raise DatabaseUnavailable("cannot execute SELECT in a read-only transaction", answered=True)
        position = self.log.insert(stored, None)
        if when == "after":
            raise DatabaseUnavailable("gone")
        return position

    async def read(self, stream_id: UUID, after_version: int) -> list[tuple[StoredEvent, int]]:
        await asyncio.sleep(0)
        if not self._reads():
            raise DatabaseUnavailable("gone")
        return self.log.stored(str(stream_id), after_version)

    def close(self) -> None:
        pass


AT_ONCE = Backoff(0.0, 0.0)


def event(stream: str, version: int = 1, text: str = "x") -> StoredEvent:
    return StoredEvent(UUID(stream), version, "Noted", text.encode())


def writer(log: MemoryLog, fate: Fate, reads: Callable[[], bool] = lambda: True) -> Writer:
    return Writer(lambda: FateSession(log, fate, reads=reads), backoff=AT_ONCE)


def streams(count: int) -> list[str]:
    return [str(uuid7()) for _ in range(count)]


async def test_a_long_outage_is_one_loop_and_not_a_recursion() -> None:
    """Thousands of attempts, far more than the interpreter's stack is deep."""
    log, attempts = MemoryLog(), 0

    def fate(_stored: Sequence[StoredEvent]) -> str | None:
        nonlocal attempts
        attempts += 1
        return "before" if attempts == 1 else None

    def reads() -> bool:
        nonlocal attempts
        attempts += 1
        return attempts > 3000

    names = streams(25)
    made = writer(log, fate, reads)
    positions = await asyncio.gather(*(made.append([event(name)]) for name in names))
    assert sorted(positions) == list(range(1, 26))
    assert attempts > 3000


async def test_an_outage_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    left = iter(["read-only"] * 500)
    caplog.set_level(logging.INFO)
    await writer(MemoryLog(), lambda _: next(left, None)).append([event(*streams(1))])
    assert len(caplog.records) == 1


async def test_a_read_only_database_is_waited_for_however_long(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody's append is at fault, so nobody's is given up: what executes goes on."""
    left = iter(["read-only"] * 1000)
    made = writer(MemoryLog(), lambda _: next(left, None))
    positions = await asyncio.gather(*(made.append([event(name)]) for name in streams(12)))
    assert sorted(positions) == list(range(1, 13))


async def test_an_append_that_always_fails_by_itself_holds_up_nobody_for_long() -> None:
    """As one that kills its connection: the database answers otherwise."""
    poison, *names = streams(12)

    def fate(stored: Sequence[StoredEvent]) -> str | None:
        return "before" if any(str(one.originator_id) == poison for one in stored) else None

    log = MemoryLog()
    made = writer(log, fate)
    poisoned = asyncio.create_task(made.append([event(poison)]))
    outcomes = await asyncio.gather(*(made.append([event(name)]) for name in names[:-1]))
    assert len(set(outcomes)) == 10
    assert not poisoned.done()
    await made.append([event(names[-1])])
    with pytest.raises(DatabaseUnavailable):
        await poisoned
    assert log.read(poison) == []


async def test_a_fault_of_the_writer_itself_is_told_and_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    log = MemoryLog()
    made = Writer(lambda: FateSession(log, lambda _: None), on_commit=lambda *_: 1 / 0, backoff=AT_ONCE)
    positions = await asyncio.gather(*(made.append([event(name)]) for name in streams(3)), return_exceptions=True)
    assert positions == [1, 2, 3], "they are in the log, whatever counts them"
    assert await made.append([event(*streams(1))]) == 4
    assert "log writer failed, restarting" in caplog.text


async def test_an_error_that_is_not_the_databases_is_told_to_its_author_only() -> None:
    bad, *good = streams(4)
    made = writer(MemoryLog(), lambda stored: "fault" if any(str(one.originator_id) == bad for one in stored) else None)
    outcomes = await asyncio.gather(*(made.append([event(name)]) for name in (bad, *good)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, int, int, int]


@given(st.integers(0, 2**32), st.floats(0, 0.6), st.floats(0, 0.6), st.booleans())
def test_whatever_is_lost_each_append_is_there_once_or_its_author_knows(
    seed: int, before: float, after: float, interrupted: bool
) -> None:
    """Several authors extend shared streams, each deciding on what it read; some give up waiting."""
    chance = random.Random(seed)
    log = MemoryLog()

    def fate(_stored: Sequence[StoredEvent]) -> str | None:
        found = chance.random()
        return "before" if found < before else "after" if found < before + after * (1 - before) else None

    made = writer(log, fate, lambda: chance.random() > before / 2)
    told: dict[tuple[str, int], list[str]] = {}

    async def author(name: str, stream: str) -> None:
        for number in range(6):
            version = len(log.stored(stream)) + 1
            text = f"{name}/{number}"
            appending = asyncio.ensure_future(made.append([event(stream, version, text)]))
            if interrupted and chance.random() < 0.2:
                await asyncio.sleep(0)
                appending.cancel()
            with suppress(VersionConflict, asyncio.CancelledError, DatabaseUnavailable):
                await appending
                told.setdefault((stream, version), []).append(text)

    async def play() -> None:
        shared = streams(2)
        await asyncio.gather(*(author(f"{number}", shared[number % 2]) for number in range(6)))
        for stream in shared:
            found = [(one.originator_version, one.state.decode()) for one, _ in log.stored(stream)]
            assert [version for version, _ in found] == list(range(1, len(found) + 1))
            texts = [text for _, text in found]
            assert len(set(texts)) == len(texts), "nothing is written twice"
            for version, text in found:
                assert told.get((stream, version), [text]) == [text], "only who is in the log is told of success"

    asyncio.run(play())


async def test_who_waits_for_a_bounded_time_is_told_why_it_was_in_vain() -> None:
    log = MemoryLog()
    made = Writer(lambda: FateSession(log, lambda _: "read-only"), max_wait_seconds=0.2)
    stream = str(uuid7())
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await made.append([event(stream)])
    made.close()
    assert log.read(stream) == []
