"""An event is complete: class, codec line, evolve case, golden line, and a row in docs/events.md."""

import json
from dataclasses import fields
from typing import Any, get_args

import pytest

from orchestrator.domain import events
from orchestrator.domain.evolve import _FOLDS
from orchestrator.eventstore.codec import CODECS
from tests.architecture.sources import DOCS, ROOT

GOLDEN = ROOT / "tests" / "golden" / "events-v1.jsonl"


def rows(text: str) -> dict[str, str]:
    """Return the rows of all tables in a text by the name, in backticks, in their first column."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and cells[0] == "" and cells[1].startswith("`"):
            found[cells[1].strip("`")] = line
    return found


def test_every_event_has_a_codec_line() -> None:
    assert {codec.event for codec in CODECS.values()} == set(get_args(events.Event))
    assert {name: codec.event.__name__ for name, codec in CODECS.items()} == {name: name for name in CODECS}


def test_every_event_of_a_run_has_an_evolve_case() -> None:
    assert set(_FOLDS) == set(get_args(events.RunEvent))


def test_every_older_version_has_an_upcaster() -> None:
    assert {name: set(codec.upcasters) for name, codec in CODECS.items()} == {
        name: set(range(1, codec.version)) for name, codec in CODECS.items()
    }


@pytest.mark.parametrize("name", CODECS)
def test_every_event_has_a_golden_line(name: str) -> None:
    # Not splitlines(): text in an event may hold characters that count as line breaks there.
    lines = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").split("\n") if line]
    assert any(name in line.values() for line in lines)


@pytest.mark.parametrize("name", CODECS)
def test_every_event_and_each_of_its_fields_is_documented(name: str) -> None:
    row = rows((DOCS / "events.md").read_text(encoding="utf-8")).get(name, "")
    event: Any = CODECS[name].event
    assert [field.name for field in fields(event) if f"`{field.name}`" not in row and field.name != "at"] == []
    assert row, f"docs/events.md has no row for {name}"


def test_rows_are_those_of_tables() -> None:
    assert set(rows("| `A` | a |\n`B` | b\n| C | c |\n|---|---|")) == {"A"}
