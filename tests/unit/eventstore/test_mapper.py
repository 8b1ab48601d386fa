"""Compressed and encrypted states: read with the settings they were written with, clearly refused otherwise."""

import base64
from uuid import UUID

import pytest
from eventsourcing.persistence import Notification, StoredEvent

from orchestrator.domain.events import Event, RunCancelled
from orchestrator.eventstore.codec import UnreadableEvent
from orchestrator.eventstore.mapper import EventMapper, build_mapper
from orchestrator.eventstore.recorded import Recorded
from tests.unit.eventstore.golden_events import FULL_AND_MINIMAL

STREAM = UUID("018f0000-0000-7000-8000-000000000001")
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
CANCELLED = RunCancelled(1, "because " * 100, "ann")

MAPPERS = {
    "plain": build_mapper(),
    "compressed": build_mapper(compress=True),
    "encrypted": build_mapper(cipher_key=KEY),
    "both": build_mapper(compress=True, cipher_key=KEY),
}


@pytest.mark.parametrize("mapper", MAPPERS.values(), ids=MAPPERS)
@pytest.mark.parametrize("event", [event for pair in FULL_AND_MINIMAL for event in pair])
def test_every_event_comes_back_with_its_envelope(mapper: EventMapper, event: Event) -> None:
    stored = mapper.store(STREAM, 3, event, "acme", "ann")
    assert mapper.recorded(stored) == Recorded(str(STREAM), 3, 0, "acme", "ann", event)
    assert mapper.from_row(STREAM, 3, stored.topic, stored.state, 17).position == 17
    assert mapper.recorded(Notification(STREAM, 3, stored.topic, stored.state, 17)).position == 17


def test_compression_makes_it_smaller_and_encryption_unreadable_and_different_each_time() -> None:
    states = {name: mapper.store(STREAM, 1, CANCELLED, "t", "a").state for name, mapper in MAPPERS.items()}
    assert len(states["compressed"]) < len(states["plain"]) / 2
    assert len(states["both"]) < len(states["plain"]) / 2, "compressed before it is encrypted"
    assert b"because" in states["plain"]
    assert b"because" not in states["encrypted"]
    assert MAPPERS["encrypted"].store(STREAM, 1, CANCELLED, "t", "a").state != states["encrypted"]


@pytest.mark.parametrize("key", [base64.b64encode(bytes(size)).decode() for size in (16, 24, 32)])
def test_every_size_of_aes_key_works(key: str) -> None:
    mapper = build_mapper(cipher_key=key)
    assert mapper.recorded(mapper.store(STREAM, 1, CANCELLED, "t", "a")).event == CANCELLED


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("encrypted", build_mapper(cipher_key=OTHER_KEY)),
        ("both", build_mapper(compress=True, cipher_key=OTHER_KEY)),
        ("plain", MAPPERS["encrypted"]),
        ("plain", MAPPERS["compressed"]),
        ("compressed", MAPPERS["both"]),
        ("encrypted", MAPPERS["both"]),
    ],
)
def test_the_wrong_key_or_compressor_is_a_clear_error(written: str, read: EventMapper) -> None:
    stored = MAPPERS[written].store(STREAM, 7, CANCELLED, "t", "a")
    words = f"RunCancelled .stream {STREAM}, version 7. cannot be opened: .*another cipher key or compressor"
    with pytest.raises(UnreadableEvent, match=words):
        read.recorded(stored)


@pytest.mark.parametrize("written", ["encrypted", "compressed", "both"])
def test_without_a_key_or_compressor_it_is_one_too(written: str) -> None:
    with pytest.raises(UnreadableEvent, match="RunCancelled cannot be read"):
        MAPPERS["plain"].recorded(MAPPERS[written].store(STREAM, 1, CANCELLED, "t", "a"))


@pytest.mark.parametrize("place", [0, 12, 28, -1])
def test_a_single_altered_byte_is_noticed(place: int) -> None:
    stored = MAPPERS["encrypted"].store(STREAM, 1, CANCELLED, "t", "a")
    damaged = bytearray(stored.state)
    damaged[place] ^= 1
    with pytest.raises(UnreadableEvent, match="damaged"):
        MAPPERS["encrypted"].recorded(StoredEvent(STREAM, 1, stored.topic, bytes(damaged)))


def test_a_truncated_state_is_noticed() -> None:
    stored = MAPPERS["encrypted"].store(STREAM, 1, CANCELLED, "t", "a")
    for size in (0, 5, 20, 40):
        with pytest.raises(UnreadableEvent, match="damaged"):
            MAPPERS["encrypted"].recorded(StoredEvent(STREAM, 1, stored.topic, stored.state[:size]))
