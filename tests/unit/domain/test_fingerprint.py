"""Canonical JSON against RFC 8785: its examples, its table of numbers, its reference vectors, and its law."""

import json
import math
import struct
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.exact import check_numbers
from orchestrator.domain.fingerprint import cache_key, canonical, canonical_value, fingerprint

# RFC 8785, Appendix B: IEEE 754 bits -> JSON
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}
NOT_NUMBERS = ("7fffffffffffffff", "7ff0000000000000")

# RFC 8785: section 3.2.2 (values), section 3.2.3 (sorting of properties)
VALUES = r"""{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"""
VALUES_CANONICAL = (
    '{"literals":[null,true,false],'
    '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}'
)
SORTING = r"""{
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}"""
SORTED = [
    "Carriage Return",
    "One",
    "Control",
    "Latin Small Letter O With Diaeresis",
    "Euro Sign",
    "Emoji: Grinning Face",
    "Hebrew Letter Dalet With Dagesh",
]

VECTORS = Path(__file__).parents[4] / "shared" / "data" / "rfc8785"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def double(bits: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(bits))[0])


def shuffled(value: Any, data: st.DataObject) -> Any:
    """The same value with the keys of every object in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], data) for key in data.draw(st.permutations(list(value)))}
    if isinstance(value, list):
        return [shuffled(item, data) for item in value]
    return value


def as_doubles(value: Any) -> Any:
    """The same value with every number as it comes back: small whole numbers as int, the rest as float."""
    match value:
        case bool():
            return value
        case int() | float() if float(value).is_integer() and abs(value) < 10**15:
            return int(value)
        case int():
            return float(value)
        case list():
            return [as_doubles(item) for item in value]
        case dict():
            return {key: as_doubles(item) for key, item in value.items()}
        case _:
            return value


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_in_appendix_b(bits: str, text: str) -> None:
    assert canonical(double(bits)) == text.encode()


@pytest.mark.parametrize("bits", NOT_NUMBERS)
def test_nan_and_infinity_are_refused_as_in_appendix_b(bits: str) -> None:
    with pytest.raises(InputNotCanonical, match="is not a JSON number"):
        canonical(double(bits))


def test_values_are_written_as_in_section_3_2_2() -> None:
    assert canonical(json.loads(VALUES)) == VALUES_CANONICAL.encode()


def test_properties_are_sorted_as_in_section_3_2_3() -> None:
    assert list(json.loads(canonical(json.loads(SORTING))).values()) == SORTED


def test_structures_are_written_without_space() -> None:
    document = json.loads('[56, {"d": true, "10": null, "1": [ ]}]')
    assert canonical(document) == b'[56,{"1":[],"10":null,"d":true}]'


def test_text_is_not_normalised() -> None:
    assert canonical({"Unnormalized Unicode": "A\u030a"}) == '{"Unnormalized Unicode":"A\u030a"}'.encode()


def test_the_reference_vectors_hold_wherever_they_are() -> None:
    inputs = sorted(VECTORS.glob("input/*.json"))
    assert bool(inputs) == VECTORS.is_dir()
    for source in inputs:
        expected = (VECTORS / "output" / source.name).read_bytes()
        assert canonical(json.loads(source.read_text("utf-8"))) == expected, source.name


@given(json_values, st.data())
def test_the_fingerprint_is_the_same_for_any_order_of_keys(value: Any, data: st.DataObject) -> None:
    assert fingerprint(shuffled(value, data)) == fingerprint(value)


@given(json_values)
def test_the_canonical_form_says_the_same_as_the_value(value: Any) -> None:
    written = canonical(value)
    # a double beyond 2**53 is written without exponent, as an integer that is no Python integer
    read = json.loads(written, parse_int=lambda text: int(text) if abs(int(text)) < 10**15 else float(text))
    assert canonical(read) == written
    assert json.dumps(read, sort_keys=True) == json.dumps(as_doubles(value), sort_keys=True)


@given(json_values, json_values)
def test_fingerprints_differ_when_canonical_forms_do(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical(one) == canonical(other))


def test_a_fingerprint_is_a_sha_256_in_lower_case_hex() -> None:
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_true_and_1_differ_but_1_and_1_0_do_not() -> None:
    assert fingerprint([True]) != fingerprint([1])
    assert fingerprint([1]) == fingerprint([1.0])


class Colour(Enum):
    RED = "red"


circular: list[Any] = []
circular.append(circular)
bottomless: Any = None
for _ in range(100_000):
    bottomless = [bottomless]


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"a": [1, math.nan]}, "$.a[1]", "nan is not a JSON number"),
        ([math.inf], "$[0]", "inf is not a JSON number"),
        ({"a": {"b": -math.inf}}, "$.a.b", "-inf is not a JSON number"),
        ({"a": {1: "x"}}, "$.a", "key 1 is not a string"),
        ({"a": {"b": 1, None: "x"}}, "$.a", "key None is not a string"),
        ({"a": {b"b": 1}}, "$.a", "key b'b' is not a string"),
        ({"a": b"bytes"}, "$.a", "bytes is not a JSON type"),
        ({"a": {1, 2}}, "$.a", "set is not a JSON type"),
        ([{"n": 2**53}], "$[0].n", "9007199254740992 is beyond 2**53 - 1"),
        ({"n": -(2**53)}, "$.n", "-9007199254740992 is beyond 2**53 - 1"),
        ({"n": 10**5000}, "$.n", "an integer is beyond 2**53 - 1"),
        ({"a": "\ud800"}, "$.a", "the text holds a lone surrogate"),
        ({"a": {"\udfff": 1}}, "$.a", "the text holds a lone surrogate"),
        ({"a": (1, object())}, "$.a[1]", "object is not a JSON type"),
        ({"a": Colour.RED}, "$.a", "Colour is not a JSON type"),
        (circular, "$", "it is nested too deeply, or holds itself"),
        (bottomless, "$", "it is nested too deeply, or holds itself"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_path(value: Any, path: str, why: str) -> None:
    with pytest.raises(InputNotCanonical) as caught:
        fingerprint(value)
    assert caught.value.details == {"path": path, "reason": why}
    assert str(caught.value) == f"{path} has no canonical JSON form: {why}"
    assert caught.value.code == "SKILL_INPUT_NOT_CANONICAL"


def test_the_largest_integers_have_a_canonical_form() -> None:
    assert canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


def test_the_cache_key_names_workflow_step_and_input() -> None:
    assert cache_key("campaign.build.v1", "bgm", "ab12") == "campaign.build.v1:bgm:ab12"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN | st.dictionaries(st.text(st.characters(max_codepoint=127)), PLAIN))
def test_the_quick_way_for_plain_values_writes_what_the_library_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_the_quick_way_writes_every_character_as_the_library_does() -> None:
    text = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert canonical(text) == rfc8785.dumps(text)


@given(st.lists(st.floats(1e-5, 1e17) | st.floats(-1e17, -1e-5), min_size=20, max_size=200))
def test_the_quick_way_writes_every_number_as_the_library_does(values: list[float]) -> None:
    assert canonical(values) == rfc8785.dumps(values)


@pytest.mark.parametrize("levels", [253, 254, 255, 256, 300])
def test_the_quick_way_writes_deep_values_as_the_library_does(levels: int) -> None:
    value: Any = [1]
    for _ in range(levels):
        value = {"inside": value}
    assert canonical(value) == b'{"inside":' * levels + b"[1]" + b"}" * levels


@given(json_values)
def test_the_value_of_a_canonical_form_is_the_same_for_equal_forms_and_has_that_form(value: Any) -> None:
    form = canonical(value)
    assert canonical(canonical_value(form)) == form


@pytest.mark.parametrize(
    ("values", "settled"),
    [
        ((1, 1.0, 1e0), "1"),
        ((0, 0.0, -0.0), "0"),
        ((2**53 - 1, float(2**53 - 1)), "9007199254740991"),
        ((1e20,), "1e+20"),
        ((float(2**53),), "9007199254740992.0"),
        (({"b": 1.0, "a": (2,)}, {"a": [2.0], "b": 1}), "{'a': [2], 'b': 1}"),
    ],
)
def test_values_of_one_form_cannot_be_told_apart(values: tuple[Any, ...], settled: str) -> None:
    assert {repr(canonical_value(canonical(value))) for value in values} == {settled}


@given(json_values)
def test_a_text_of_a_canonical_value_has_sound_integers(value: Any) -> None:
    check_numbers(json.dumps(canonical_value(canonical(value))).encode())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"20000000000000000001", "$"),
        (b'{"a": [1, -20000000000000000001]}', "$.a[1]"),
        (b'{"a": {"b": 9007199254740992}}', "$.a.b"),
        (b"[" + b"9" * 100_000 + b"]", "$[0]"),
    ],
)
def test_an_integer_that_not_every_reader_takes_is_found_in_its_text(text: bytes, path: str) -> None:
    with pytest.raises(InputNotCanonical, match="is beyond") as caught:
        check_numbers(text)
    assert caught.value.details["path"] == path


@pytest.mark.parametrize(
    "text", [b'"20000000000000000001"', b"2e19", b"1e23", b"0.1", b"0e-400", b"[9007199254740991]"]
)
def test_floats_and_text_of_many_digits_are_no_integers(text: bytes) -> None:
    check_numbers(text)
