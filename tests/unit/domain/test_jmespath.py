"""Expressions give the answers of the JMESPath specification.

`jmespath/` holds its compliance suite, as the npm package `jmespath` 0.15.0 ships it (Apache-2.0, see LICENSE there).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.expressions import SelectorError, evaluate, parse
from orchestrator.domain.fingerprint import canonical

SUITE = Path(__file__).parent / "jmespath"


def pick(expression: str, context: Any = None) -> Any:
    return evaluate(parse(expression), context)


def text(value: Any) -> str:
    """JSON, so that `1` and `true` are not equal."""
    return json.dumps(value, sort_keys=True)


def cases() -> list[Any]:
    return list(_cases())


def _cases() -> Iterator[Any]:
    for file in sorted(SUITE.glob("*.json")):
        for group, suite in enumerate(json.loads(file.read_text(encoding="utf-8"))):
            for index, case in enumerate(suite["cases"]):
                yield pytest.param(suite["given"], case, id=f"{file.stem}-{group}-{index}")


def test_the_suite_is_there() -> None:
    assert len(cases()) > 800


@pytest.mark.parametrize(("given", "case"), cases())
def test_compliance(given: Any, case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(SelectorError):
            pick(case["expression"], given)
    else:
        assert text(pick(case["expression"], given)) == text(case["result"])


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12", 12),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("1E-2", 0.01),
        ("9007199254740991", 2**53 - 1),
        ("1" + "0" * 308, int("1" + "0" * 308)),
        # what Python's int() and float() read besides
        ("1_000", None),
        (" 1", None),
        ("1\n", None),
        ("+1", None),
        ("01", None),
        ("1.", None),
        (".5", None),
        ("inf", None),
        ("-Infinity", None),
        ("nan", None),
        ("0x10", None),
        ("\uff11", None),  # a digit to Python
        ("1e400", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_to_number_reads_json_numbers_only(written: str, number: float | None) -> None:
    assert text(pick("to_number(@)", written)) == text(number)


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("contains([`true`], `1`)", False),
        ("contains([`0`], `false`)", False),
        ("contains([`1`], `1.0`)", True),
        ("contains([[`true`]], [`1`])", False),
        ('contains([`{"a": [1]}`], `{"a": [true]}`)', False),
        ('contains([`{"a": [1]}`], `{"a": [1.0]}`)', True),
        ("contains('a1', `1`)", False),
        ("contains('anull', `null`)", False),
        ("[`true`] == [`1`]", False),
        ("[`true`] != [`1`]", True),
        ('`{"a": 0}` == `{"a": false}`', False),
        ("`true` == `true`", True),
        ("[`1`, `[false]`] == [`1.0`, `[false]`]", True),
    ],
)
def test_values_are_equal_as_json(expression: str, answer: bool) -> None:
    assert pick(expression, {}) is answer


MIXED = [1, "b", None, True, [1], {"a": 1}, 3, "d", 2.5]


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("[?@ > `1`]", [3, 2.5]),
        ("[?@ <= `1`]", [1]),
        ("[?@ >= 'c']", ["d"]),
        ("[?@ < `true`]", []),
        ("[?@ == `true`]", [True]),
        ("[?@ != `1`] | length(@)", 7),  # a null in a projection is left out
        ("`1` < 'a'", None),
        ("'a' > `1`", None),
    ],
)
def test_a_filter_over_mixed_types_compares_what_can_be_compared(expression: str, answer: Any) -> None:
    assert text(pick(expression, MIXED)) == text(answer)


@pytest.mark.parametrize("function", ["min_by", "max_by", "sort_by"])
@pytest.mark.parametrize("values", [[1, "a"], ["a", 1], ["a", None], [True, 1]])
def test_what_is_ordered_is_of_one_type_and_the_message_says_so(function: str, values: list[Any]) -> None:
    with pytest.raises(SelectorError, match=rf"{function}\(\) takes a value of type .*, not "):
        pick(f"{function}(@, &v)", [{"v": value} for value in values])


@pytest.mark.parametrize("function", ["floor", "ceil"])
def test_rounding_a_large_number_leaves_a_json_number(function: str) -> None:
    assert canonical(pick(f"{function}(@)", 1e300)) == b"1e+300"
    assert text(pick(f"{function}(@)", 2.0)) == "2"
