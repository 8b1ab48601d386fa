"""JSON text that does not mean what it says is refused, with its place."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.exact import check_keys, check_numbers, read_exactly

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("9007199254740993.0", "$", "would become 9007199254740992.0"),
        ('{"a": [20000000000000000001.0]}', "$.a[0]", "would become 2e+19"),
        ("20000000000000000001.5", "$", "would become"),
        ("90071992547409.93e2", "$", "would become"),
        ("[0, -1e-400]", "$[1]", "would become 0"),
        ('{"n":1e400}', "$.n", "is too large"),
        ("18446744073709551616", "$", "beyond 2**53 - 1"),
    ],
)
def test_a_number_that_would_become_another_one(text: str, path: str, reason: str) -> None:
    with pytest.raises(InputNotCanonical) as caught:
        read_exactly(text)
    assert caught.value.details["path"] == path
    assert reason in caught.value.details["reason"]
    with pytest.raises(InputNotCanonical) as again:
        check_numbers(text.encode())
    assert again.value.details == caught.value.details


@pytest.mark.parametrize("text", ["1e23", "2e19", "1.5", "0.1", "0e-999", "-0.0", "9007199254740991", '"1e400"'])
def test_a_number_that_stays_what_it_is(text: str) -> None:
    check_numbers(text.encode())
    assert read_exactly(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "a": 1}', "$.a"),
        ('{"workflowName":"x","workflowName":"y"}', "$.workflowName"),
        ('{"a": [{"b": {"c": 1, "d": 2, "c": 3}}]}', "$.a[0].b.c"),
        ('{"a" :1,"\\u0061":2}', "$.a"),
        ('{"x": "\\":", "a": 1, "a": 2}', "$.a"),
    ],
)
def test_a_key_that_is_given_twice(text: str, path: str) -> None:
    for refuse in (lambda: check_keys(text.encode(), orjson.loads(text)), lambda: read_exactly(text)):
        with pytest.raises(InputNotCanonical, match="given twice") as caught:
            refuse()
        assert caught.value.details["path"] == path


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "-Infinity", "{", ""])
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        read_exactly(text)


@pytest.mark.slow
@given(DOCUMENTS)
def test_what_a_program_writes_is_exact(document: Any) -> None:
    text = json.dumps(document)
    assert read_exactly(text) == document
    check_numbers(text.encode())
    check_keys(text.encode(), json.loads(text))
