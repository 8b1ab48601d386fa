"""What any log does: one suite for the one in memory and the one in Postgres."""

import asyncio
from collections.abc import Iterator

import pytest

from orchestrator.domain.errors import VersionConflict
from orchestrator.domain.events import RunStarted, StepCompleted
from orchestrator.domain.output import Output
from orchestrator.eventstore.log import EventLog
from orchestrator.eventstore.mapper import build_mapper
from orchestrator.eventstore.memory import MemoryLog
from orchestrator.eventstore.recorded import Recorded
from tests.integration.eventstore.logs import append, follow, new_stream, open_log, started, workers_of
from tests.servers import Databases


@pytest.fixture(scope="module", params=["memory", "postgres", "memory, sealed", "postgres, sealed"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    """One log for all tests of a kind: each has streams of its own and reads on from where it found the log."""
    mapper = build_mapper(compress=True, cipher_key="A" * 43 + "=") if "sealed" in request.param else None
    if "memory" in request.param:
        yield MemoryLog(mapper)
        return
    databases: Databases = request.getfixturevalue("databases")
    name = databases.create(request.getfixturevalue("template_database"))
    with open_log(databases.url(name), mapper=mapper) as opened:
        yield opened
    databases.drop(name)


@pytest.fixture
def start(log: EventLog) -> int:
    """The last position before the test."""
    return log.last_position()


class TestAppend:
    async def test_an_event_comes_back_in_its_envelope(self, log: EventLog, start: int) -> None:
        stream = new_stream()
        position = await log.append(stream, 0, [RunStarted(17, "w")], tenant="acme", actor="ann")
        assert position == start + 1
        assert log.read(stream) == [Recorded(stream, 1, position, "acme", "ann", RunStarted(17, "w"))]

    async def test_versions_and_positions_count_up(self, log: EventLog, start: int) -> None:
        one, other = new_stream(), new_stream()
        assert await append(log, one, 0, "a", "b") == start + 1
        assert await append(log, other, 0, "c") == start + 3
        assert await append(log, one, 2, "d") == start + 4
        assert [(item.version, item.position - start) for item in log.read(one)] == [(1, 1), (2, 2), (3, 4)]
        assert [(item.version, item.position - start) for item in log.read(other)] == [(1, 3)]

    @pytest.mark.parametrize("expected", [0, 1, 3, 9])
    async def test_at_another_version_than_the_streams_it_is_refused(
        self, log: EventLog, start: int, expected: int
    ) -> None:
        stream = new_stream()
        await append(log, stream, 0, "a", "b")
        with pytest.raises(VersionConflict, match=stream):
            await append(log, stream, expected, "c")
        assert workers_of(log.read(stream)) == ["a", "b"]
        assert log.last_position() == start + 2

    async def test_a_new_stream_begins_at_version_zero(self, log: EventLog) -> None:
        stream = new_stream()
        with pytest.raises(VersionConflict, match=stream):
            await append(log, stream, 1, "a")
        assert log.read(stream) == []

    async def test_all_of_an_append_is_written_or_none(self, log: EventLog) -> None:
        stream = new_stream()
        await append(log, stream, 0, "a", "b")
        with pytest.raises(VersionConflict):
            await append(log, stream, 1, "x", "y", "z")
        assert workers_of(log.read(stream)) == ["a", "b"]

    async def test_after_a_conflict_the_log_goes_on(self, log: EventLog, start: int) -> None:
        stream = new_stream()
        await append(log, stream, 0, "a")
        with pytest.raises(VersionConflict):
            await append(log, stream, 0, "b")
        await append(log, stream, 1, "b")
        assert workers_of(log.read(stream)) == ["a", "b"]
        assert log.last_position() == start + 2, "a refused append leaves no gap"


class TestRead:
    async def test_an_unknown_stream_is_empty(self, log: EventLog) -> None:
        assert log.read(new_stream()) == []

    async def test_past_the_end_there_is_nothing(self, log: EventLog, start: int) -> None:
        assert log.read_log(start, 10) == log.read_log(start + 99, 10) == []

    @pytest.mark.parametrize("after", range(5))
    async def test_a_stream_from_a_version_on(self, log: EventLog, after: int) -> None:
        stream = new_stream()
        await append(log, stream, 0, "a", "b", "c")
        assert workers_of(log.read(stream, after)) == ["a", "b", "c"][after:]

    async def test_the_log_page_by_page(self, log: EventLog, start: int) -> None:
        streams = [new_stream() for _ in range(4)]
        for number in range(20):
            await append(log, streams[number % 4], number // 4, f"w{number}")
        position, read = start, []
        while True:
            batch, position = follow(log, position, limit=3)
            if not batch:
                break
            assert len(batch) <= 3
            read += batch
        assert workers_of(read) == [f"w{number}" for number in range(20)]
        assert [item.position for item in read] == list(range(start + 1, start + 21))
        assert log.last_position() == position == start + 20


class TestTogether:
    async def test_fifty_tasks_append_to_streams_of_their_own(self, log: EventLog, start: int) -> None:
        streams = [new_stream() for _ in range(50)]

        async def write(stream: str) -> None:
            for version in range(10):
                await append(log, stream, version, f"{version}")

        await asyncio.gather(*map(write, streams))
        for stream in streams:
            assert workers_of(log.read(stream)) == [f"{version}" for version in range(10)]
        read = log.read_log(start, 10_000)
        assert [item.position for item in read] == list(range(start + 1, start + 501))

    async def test_of_fifty_appends_to_one_version_one_wins(self, log: EventLog) -> None:
        stream = new_stream()
        outcomes = await asyncio.gather(
            *(append(log, stream, 0, f"w{number}") for number in range(50)), return_exceptions=True
        )
        winners = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
        assert len(winners) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 49
        assert workers_of(log.read(stream)) == [f"w{winners[0]}"]

    async def test_losers_that_read_again_all_get_their_turn(self, log: EventLog) -> None:
        stream = new_stream()

        async def write(number: int) -> None:
            while True:
                try:
                    await append(log, stream, len(log.read(stream)), f"w{number}")
                except VersionConflict:
                    continue
                return

        await asyncio.gather(*map(write, range(12)))
        history = log.read(stream)
        assert sorted(workers_of(history)) == sorted(f"w{number}" for number in range(12))
        assert [item.version for item in history] == list(range(1, 13))


class TestSizes:
    async def test_five_thousand_events_in_one_append(self, log: EventLog) -> None:
        stream = new_stream()
        first = await append(log, stream, 0, *(f"w{number}" for number in range(5000)))
        history = log.read(stream)
        assert [item.position for item in history] == list(range(first, first + 5000))
        assert workers_of(history) == [f"w{number}" for number in range(5000)]
        assert log.last_position() == first + 4999

    async def test_megabytes_in_one_event(self, log: EventLog) -> None:
        stream = new_stream()
        data = {"text": "x\u00e9" * 2_000_000, "list": list(range(100_000))}
        event = StepCompleted(1, "s", 1, Output(data), "h", 1.0)
        await log.append(stream, 0, [event], tenant="t", actor="a")
        assert log.read(stream)[0].event == event

    @pytest.mark.parametrize(
        "text", ["äöü ß € 漢字 \U0001f3b5", "\u0000", "a\u0000b\u001f", "\u2028\u2029", "' \" \\ % {}", ""]
    )
    async def test_any_text(self, log: EventLog, text: str) -> None:
        stream = new_stream()
        event = StepCompleted(1, text, 1, Output({text: [text]}), "h", 1.0)
        await log.append(stream, 0, [event, started(text)], tenant=text, actor=text)
        first, second = log.read(stream)
        assert first.event == event
        assert second.event == started(text)
        assert (first.tenant, first.actor) == (text, text)
