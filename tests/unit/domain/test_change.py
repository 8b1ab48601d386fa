"""RFC 7396 by its own table, and which fields two payloads differ in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.change import changed_paths, merge_patch, same_json

# RFC 7396, appendix A
TABLE: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(("x", "y")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("target", "patch", "result"), TABLE)
def test_the_table_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert same_json(merge_patch(target, patch), result)


@given(JSON, JSON)
def test_a_patch_changes_neither_of_its_arguments(target: Any, patch: Any) -> None:
    before = repr(target), repr(patch)
    merge_patch(target, patch)
    assert (repr(target), repr(patch)) == before


@given(JSON, JSON)
def test_a_patch_applied_twice_is_a_patch_applied_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert same_json(merge_patch(once, patch), once)


@given(JSON, JSON)
def test_values_differ_exactly_where_paths_are_named(before: Any, after: Any) -> None:
    paths = list(changed_paths(before, after))
    assert (not paths) == same_json(before, after)
    for path in paths:
        assert not same_json(_at(before, path), _at(after, path))


def test_true_is_not_one() -> None:
    assert list(changed_paths({"a": True}, {"a": 1})) == [("a",)]
    assert list(changed_paths({"a": [0]}, {"a": [False]})) == [("a",)]
    assert list(changed_paths({"a": 1}, {"a": 1.0})) == []


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name, "absent")
    return value
