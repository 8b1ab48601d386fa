"""Expressions: what parses, and what is refused before a step ever runs it."""

from contextlib import suppress
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.expressions import MAX_DEPTH, SelectorError, evaluate, follow, parse, plain_path

JSON_FIELD = r"[A-Za-z_][A-Za-z0-9_]{0,4}"


@given(st.lists(st.from_regex(JSON_FIELD, fullmatch=True), min_size=1, max_size=5))
def test_the_short_way_for_plain_paths_parses_as_jmespath_does(names: list[str]) -> None:
    expression = ".".join(names)
    assert parse(expression) == jmespath.compile(expression).parsed


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), DOCUMENTS)
def test_the_short_way_for_plain_paths_picks_what_jmespath_does(names: list[str], document: Any) -> None:
    expression = ".".join(names)
    path = plain_path(expression)
    assert path == tuple(names)
    assert follow(path, document) == jmespath.search(expression, document)


@pytest.mark.parametrize("expression", ["a[0]", "a.*", '"a"', "a | b", "`1`", "length(a)", "a.b[]", "@"])
def test_what_is_more_than_a_plain_path_takes_the_long_way(expression: str) -> None:
    assert plain_path(expression) is None


@given(st.text("abc.[]{}()*?|&!<>=@`'\"\\0123:, -#", max_size=12))
def test_any_text_parses_or_is_a_selector_error(text: str) -> None:
    with suppress(SelectorError):
        parse(text)


@given(st.text(max_size=8))
def test_any_text_at_all_parses_or_is_a_selector_error(text: str) -> None:
    with suppress(SelectorError):
        parse(text)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "cannot be empty"),
        ("a.", "got: eof"),
        ("a[", "Incomplete expression"),
        ("a..b", "Parse error at column 2"),
        ("a b", "Unexpected token"),
        ("lenght(a)", r"unknown function lenght\(\); did you mean length\(\)\?"),
        ("length()", r"length\(\) takes 1 argument, not 0"),
        ("contains(a)", r"contains\(\) takes 2 arguments, not 1"),
        ("merge()", r"merge\(\) takes at least 1 argument, not 0"),
        ("sort_by(a, b)", r"argument 2 of sort_by\(\) must be an &expression"),
        ("length(&a)", r"argument 1 of length\(\) must be a value, not an &expression"),
        ("map(&a, &b)", r"argument 2 of map\(\) must be a value"),
        ("&a", "can only be given to a function"),
        ("{a: &b}", "can only be given to a function"),
        ("a[::0]", "the step of a slice cannot be 0"),
        ("`yes`", "`yes` is not JSON"),
        ('`{"a": }`', "is not JSON"),
        ("`NaN`", "literal `NaN`: .* nan is not a JSON number"),
        ("`1e999`", "inf is not a JSON number"),
        ("`9007199254740993`", "beyond 2"),
        ("x[?y == `[1, NaN]`]", "nan is not a JSON number"),
        ("a[?abs(&b)]", r"argument 1 of abs\(\)"),
    ],
)
def test_what_could_only_fail_is_refused(expression: str, message: str) -> None:
    with pytest.raises(SelectorError, match=message):
        parse(expression)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'`not json`'", "`not json`"),
        ('"`x`"', None),
        (r"`\"a \`tick\` b\"`".replace('\\"', '"'), "a `tick` b"),
        (r"'it\'s'", "it's"),
        ('`{"a": [1, null]}`', {"a": [1, None]}),
    ],
)
def test_quotes_are_told_apart(expression: str, value: object) -> None:
    assert evaluate(parse(expression), {}) == value


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "a" + ")" * 5000, " || ".join(["a"] * (MAX_DEPTH + 2)), "!" * (MAX_DEPTH + 2) + "a"],
    ids=["parentheses", "alternatives", "negations"],
)
def test_nesting_without_end_is_refused(expression: str) -> None:
    with pytest.raises(SelectorError, match="nested"):
        parse(expression)


def test_the_deepest_expression_that_parses_can_be_evaluated() -> None:
    assert evaluate(parse(" || ".join(["a"] * MAX_DEPTH + ["b"])), {"b": 1}) == 1
