"""Masking: values of secrets are found in every form in which they are usually written."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from orchestrator.skills.excerpts import EXCERPT_CHARACTERS, beginning, end_of, start_of
from orchestrator.skills.masking import MASKER, Masker, mask, mask_json

VALUE = 'pä/55+w0rd="x y"'


def masker(*values: str) -> Masker:
    made = Masker()
    for value in values:
        assert made.add("NAME", value)
    return made


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        repr(VALUE)[1:-1],
        quote(VALUE, safe=""),
        quote(VALUE),
        quote_plus(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_every_form_is_masked(form: str) -> None:
    assert masker(VALUE).mask(f"a {form} and {form}{form}.") == "a *** and ***."


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", ":", ":x", ":xy"])
@pytest.mark.parametrize("value", ["correct horse", "8letters", "12345"])
def test_base64_of_a_longer_text_is_masked(before: str, after: str, value: str) -> None:
    encoded = base64.b64encode(f"{before}{value}{after}".encode()).decode()
    assert "***" in masker(value).mask(f"Basic {encoded}")


def test_what_is_no_secret_is_left_alone() -> None:
    text = "nothing to see: Zm9vYmFy %20 \\n"
    assert masker(VALUE).mask(text) is text
    assert Masker().mask(text) is text


def test_values_that_overlap_are_masked_together() -> None:
    assert masker("abcd1234", "1234efgh").mask("-abcd1234efgh-abcd1234-") == "-***-***-"
    assert masker("abab").mask("xabababx") == "x***x"


def test_the_lines_of_a_value_are_masked_one_by_one() -> None:
    made = masker("first line of it\nshort\nlast line of it\n")
    assert made.mask("a: first line of it, b: short, c: last line of it") == "a: ***, b: short, c: ***"
    assert made.secrets_in("first line of it") == []
    assert made.secrets_in(json.dumps("first line of it\nshort\nlast line of it\n")) == ["NAME"]


def test_a_value_at_the_cut_of_a_text_is_masked() -> None:
    made = masker("secret-value")
    assert made.mask("t-value and secret-v", is_cut_before=True, is_cut_after=True) == "*** and ***"
    assert made.mask("t-value and secret-v") == "t-value and secret-v"
    assert made.mask("lue and sec", is_cut_before=True, is_cut_after=True) == "lue and sec"


def test_a_character_that_the_cut_halved_hides_nothing() -> None:
    made = masker("éééééé")
    cut = "éééééé".encode()[1:]
    assert made.mask(cut.decode("utf-8", "replace"), is_cut_before=True) == "***"
    assert made.mask("éééééé".encode()[:-1].decode("utf-8", "replace"), is_cut_after=True) == "***"


def test_excerpts_are_masked_before_they_are_cut() -> None:
    value = "excerpts-hide-this-value"
    MASKER.add("EXCERPT", value)
    for size in range(4, len(value)):
        room = 4 * EXCERPT_CHARACTERS
        assert value[:4] not in beginning(b"x" * (room - size) + value.encode())
        assert value[:4] not in start_of(b"x" * (100 - size) + value.encode(), 100)
        assert value[-4:] not in end_of((value.encode() + b"x" * (100 - size))[-100:], 100)
    assert beginning(f"{value} {'y' * 500}".encode()).startswith("*** yyy")


def test_short_values_are_not_masked() -> None:
    made = Masker()
    assert not made.add("PIN", "123")
    assert made.is_empty
    assert made.mask("123") == "123"


def test_the_last_eight_values_of_a_secret_are_known() -> None:
    made = masker(*(f"value number {number:02}" for number in range(10)))
    assert made.mask("value number 01") == "value number 01"
    assert made.mask("value number 02, value number 09") == "***, ***"


@pytest.mark.slow
def test_the_memory_of_a_masker_is_bounded() -> None:
    made = Masker()
    for number in range(1001):
        made.add(f"N{number}", f"value number {number:04}")
    assert made.mask("value number 0000 value number 1000") == "value number 0000 ***"


def test_json_is_masked_with_its_names() -> None:
    MASKER.add("DOCUMENT", "in-a-document")
    assert mask_json({"in-a-document": [1, None, {"a": "x in-a-document"}]}) == {"***": [1, None, {"a": "x ***"}]}
    assert mask("in-a-document") == "***"
