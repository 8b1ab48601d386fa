"""The tail of the log: what it answers with is what the log has there, or nothing."""

from uuid import UUID

from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.events import RunStarted
from orchestrator.eventstore.recorded import Recorded
from orchestrator.eventstore.tail import LogTail

STREAM = UUID(int=7)


def add(tail: LogTail, position: int, count: int = 1, size: int = 10) -> list[Recorded]:
    """Append events to a tail; returns them as the log has them."""
    events = [RunStarted(position + number, "w") for number in range(count)]
    stored = [StoredEvent(STREAM, position + number, "RunStarted", bytes(size)) for number in range(count)]
    tail.is_followed = True
    tail.add(position, stored, events, "acme", "ann")
    return [
        Recorded(str(STREAM), position + number, position + number, "acme", "ann", event)
        for number, event in enumerate(events)
    ]


def test_what_nobody_follows_is_not_kept() -> None:
    tail = LogTail()
    with tail.followed():
        add(tail, 1, 2)
        assert tail.read(0, 10)
    assert tail.read(0, 10) == []
    tail.add(3, [StoredEvent(STREAM, 3, "RunStarted", b"")], [RunStarted(3, "w")], "acme", "ann")
    assert tail.read(2, 10) == []


def test_it_goes_on_from_where_the_reader_is() -> None:
    tail = LogTail()
    first = add(tail, 11, 3)
    second = add(tail, 14, 2)
    assert tail.read(10, 100) == [*first, *second]
    assert tail.read(10, 2) == first[:2]
    assert tail.read(12, 2) == [first[2], second[0]]
    assert tail.read(15, 9) == []


def test_it_has_nothing_before_its_first_event_nor_what_the_reader_has_passed() -> None:
    tail = LogTail()
    add(tail, 11, 3)
    assert tail.read(9, 100) == []
    assert len(tail.read(12, 100)) == 1
    assert tail.read(10, 100) == [], "the reader went back: it asks the log"


def test_after_somebody_elses_append_it_begins_anew() -> None:
    tail = LogTail()
    add(tail, 1, 3)
    later = add(tail, 6)
    assert tail.read(0, 100) == []
    assert tail.read(3, 100) == []
    assert tail.read(5, 100) == later


def test_it_holds_no_more_bytes_than_it_may() -> None:
    tail = LogTail(max_bytes=100)
    for position in range(1, 12):
        add(tail, position)
    assert tail.read(0, 100)
    latest = add(tail, 12)
    assert tail.read(0, 100) == []
    assert tail.read(11, 100) == latest


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, 5)), max_size=30))
def test_whatever_it_answers_is_what_the_log_has(steps: list[tuple[int, int, int]]) -> None:
    """Others append `gap` events, then `count` come from here, then the reader takes up to `limit`."""
    tail, log, position, read = LogTail(max_bytes=60), {}, 0, 0
    for gap, count, limit in steps:
        position += gap
        for recorded in add(tail, position + 1, count):
            log[recorded.position] = recorded
        position += count
        found = tail.read(read, limit)
        assert found == [log[read + 1 + number] for number in range(len(found))]
        read = found[-1].position if found else position if limit == 5 else read
