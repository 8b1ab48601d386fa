"""Every event ever stored can be read for ever. A line of the golden file is never edited: lines are added."""

import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.domain.events import Event
from orchestrator.eventstore.codec import CODECS, NAMES, decode, encode
from tests.unit.eventstore.golden_events import FULL_AND_MINIMAL

GOLDEN = Path(__file__).parents[2] / "golden" / "events-v1.jsonl"
LINES: list[dict[str, Any]] = [orjson.loads(line) for line in GOLDEN.read_bytes().splitlines()]
EVENTS = [event for pair in FULL_AND_MINIMAL for event in pair]
CASES = list(zip(LINES, EVENTS, strict=True))
IDS = [f"{line['version']}-{line['name']}" for line in LINES]


def test_the_file_is_one_numbered_stream() -> None:
    assert [line["version"] for line in LINES] == list(range(1, len(LINES) + 1))


def test_every_event_has_a_full_and_a_minimal_line() -> None:
    names = [line["name"] for line in LINES]
    assert names[::2] == names[1::2]
    assert set(names) == set(CODECS)


@pytest.mark.parametrize(("line", "event"), CASES, ids=IDS)
def test_a_line_decodes_to_its_event(line: dict[str, Any], event: Event) -> None:
    decoded, tenant, actor = decode(line["name"], orjson.dumps(line["state"]))
    assert decoded == event
    assert type(decoded) is type(event)
    assert (tenant, actor) == (line["state"]["tenant"], line["state"]["actor"])


NEWEST_FULL = {type(event): event for event in EVENTS[::2]}


@pytest.mark.parametrize(("line", "event"), CASES[::2], ids=IDS[::2])
def test_a_full_line_fills_every_field_and_encodes_back_to_the_same_bytes(line: dict[str, Any], event: Event) -> None:
    for field in dataclasses.fields(event) if NEWEST_FULL[type(event)] is event else ():
        value = getattr(event, field.name)
        assert value not in (None, (), {}), f"{field.name} is empty: add a line, now that the event has this field"
        if field.default is not dataclasses.MISSING:
            assert value != field.default
    state = line["state"]
    assert encode(event, state["tenant"], state["actor"]) == (line["name"], orjson.dumps(state))


@pytest.mark.parametrize(("line", "event"), CASES[1::2], ids=IDS[1::2])
def test_a_minimal_line_encodes_back_to_the_same_and_the_defaults(line: dict[str, Any], event: Event) -> None:
    state = line["state"]
    name, encoded = encode(event, state["tenant"], state["actor"])
    again = orjson.loads(encoded)
    assert name == line["name"]
    assert {key: again["data"][key] for key in state["data"]} == state["data"]
    assert decode(name, encoded)[0] == event
    required = {field.name for field in dataclasses.fields(event) if _is_required(field)}
    assert set(state["data"]) == required, "a field without a default cannot be read from older lines"


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def test_names_are_plain_and_those_of_the_classes() -> None:
    assert {codec.event: name for name, codec in CODECS.items()} == NAMES
    assert all(name == codec.event.__name__ for name, codec in CODECS.items())


@pytest.mark.parametrize("event", EVENTS, ids=IDS)
def test_what_is_decoded_is_as_immutable_as_what_was_decided(event: Event) -> None:
    """Tuples come back as tuples: an event read is equal to the one written, down to the types."""
    name, state = encode(event, "t", "a")
    decoded = decode(name, state)[0]
    for field in dataclasses.fields(event):
        assert type(getattr(decoded, field.name)) is type(getattr(event, field.name))
