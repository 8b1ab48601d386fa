"""Results are recorded the same way in every process, or refused."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, PlainSerializer, field_serializer
from typing_extensions import TypedDict

from orchestrator.skills import skill
from orchestrator.skills.shape import ShapeMismatch, Typed, result_shape_of, shape_of


class Tagged(BaseModel):
    tags: set[str] = set()


@dataclass
class Nested:
    inside: dict[str, list[Tagged]] = field(default_factory=dict)


class Node(BaseModel):
    next: "Node | None" = None
    ids: frozenset[int] = frozenset()


class Keyed(TypedDict):
    parts: list[frozenset[int]]


class Pair(NamedTuple):
    left: int
    right: set[int]


class Sorted(BaseModel):
    tags: Annotated[set[str], PlainSerializer(sorted)]
    more: set[str] = set()

    @field_serializer("more")
    def _in_order(self, value: set[str]) -> list[str]:
        return sorted(value)


class Open(BaseModel):
    anything: Any = None


class Frozen(BaseModel, frozen=True):
    x: int


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "annotation",
    [
        set[str],
        frozenset[int],
        set,
        list[set[int]],
        set[str] | None,
        Tagged,
        Nested,
        Node,
        Keyed,
        Pair,
        dict[str, Tagged],
    ],
    ids=str,
)
def test_a_result_type_with_a_set_is_refused_when_the_skill_is_made(annotation: Any) -> None:
    def make() -> None: ...

    make.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match=r"contains a set.*return a sorted list"):
        skill("a.make")(make)


def test_a_set_is_fine_as_input() -> None:
    assert shape_of(set[str]).load(["a", "b"]) == {"a", "b"}


def test_a_set_with_an_order_of_its_own_is_a_result() -> None:
    made = result_shape_of(Sorted).dump(Sorted(tags=set("hello"), more=set("world")))
    assert made == {"tags": ["e", "h", "l", "o"], "more": ["d", "l", "o", "r", "w"]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a", "b"}, "$.anything"),
        ([{"deep": frozenset({1})}], "$.anything[0].deep"),
        (Tagged(tags={"a"}), "$.anything.tags"),
        ({Frozen(x=1)}, "$"),
    ],
)
def test_a_set_where_the_type_leaves_it_open_is_refused_by_path(value: Any, path: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        result_shape_of(Open).dump(Open(anything=value))
    assert [fault["path"] for fault in caught.value.faults] == [path]


def test_bytes_that_are_not_text_are_refused() -> None:
    assert Typed(bytes).dump(b"text") == "text"
    with pytest.raises(ShapeMismatch, match=r"store them with ctx\.artifact"):
        Typed(bytes).dump(b"\xff\xfe")


@pytest.mark.parametrize(
    ("annotation", "value", "recorded"),
    [
        (dict[int, str], {2: "b", 1: "a"}, {"1": "a", "2": "b"}),
        (Colour, Colour.RED, "red"),
        (datetime, datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (dict[date, int], {date(2026, 1, 31): 1}, {"2026-01-31": 1}),
        (Decimal, Decimal("1.10"), "1.10"),
        (PurePosixPath, PurePosixPath("a/b"), "a/b"),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (tuple[int, str], (1, "a"), [1, "a"]),
    ],
)
def test_what_is_not_json_itself_is_recorded_in_one_form(annotation: Any, value: Any, recorded: Any) -> None:
    assert result_shape_of(annotation).dump(value) == recorded


PROGRAM = """
from tests.unit.skills.test_shape import Sorted, result_shape_of
words = set("the quick brown fox jumps over the lazy dog".split())
print(result_shape_of(Sorted).dump(Sorted(tags=words, more=words)))
"""


@pytest.mark.slow
def test_every_process_records_the_same() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (int, None, "$: Input should be a valid integer, not null"),
        (dict[str, str], {"key": ["a secret"]}, "$.key: Input should be a valid string, not an array"),
        (list[str], {"a": 1}, "$: Input should be a valid array, not an object"),
        (list[int], [None], "$[0]: Input should be a valid integer, not null"),
        (Annotated[int, Field(gt=3)], 2, "$: Input should be greater than 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_by_its_type_alone(annotation: Any, value: Any, told: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        shape_of(annotation).load(value)
    assert str(caught.value) == told
