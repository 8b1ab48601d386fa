"""Places as people read them."""

import pytest

from orchestrator.documents.places import MAX_NAME, in_order, place, shorten
from orchestrator.domain.errors import Fault


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("steps", 2, "dependsOn", 0), "steps[2].dependsOn[0]"),
        (("changeTypes", "audio.update", "seeds"), 'changeTypes["audio.update"].seeds'),
        (("payloadSchema", "$ref"), "payloadSchema.$ref"),
        (("a", "", 'q"', "b c"), 'a[""]["q\\""]["b c"]'),
        ((), "document"),
    ],
)
def test_a_place(parts: tuple[str | int, ...], text: str) -> None:
    assert place(parts) == text


def test_a_place_below_a_root() -> None:
    assert place(("a", 0), "triggerPayload") == "triggerPayload.a[0]"
    assert place((0,), "x") == "x[0]"
    assert place((), "triggerPayload") == "triggerPayload"


def test_faults_are_listed_once_and_in_the_order_of_a_reader() -> None:
    faults = [Fault(path, "m") for path in ("steps[10].a", "steps[2].b", "version", "steps[2].a", "steps[2].b")]
    assert [fault.path for fault in in_order(faults)] == ["steps[2].a", "steps[2].b", "steps[10].a", "version"]


def test_long_values_are_cut() -> None:
    assert shorten("x") == "'x'"
    assert len(shorten("x" * 1000)) == 80


class TestWhatIsCutIsNeverWrittenOut:
    def test_lists_that_hold_each_other_many_times(self) -> None:
        value: object = [1] * 10
        for _ in range(30):
            value = [value] * 10
        assert len(shorten(value)) <= 80

    def test_a_list_that_holds_itself(self) -> None:
        value: list[object] = []
        value.append(value)
        assert shorten(value) == "[[[[[...]]]]]"

    def test_a_large_object(self) -> None:
        assert len(shorten({f"key {number}": "x" * 1_000 for number in range(1_000)})) == 80

    def test_a_number_with_more_digits_than_python_writes(self) -> None:
        assert shorten(1 << 100_000) == "an integer of 100,001 bits"

    def test_what_is_no_plain_data(self) -> None:
        assert shorten(object()) == "a value of type object"

    @pytest.mark.parametrize("value", [None, True, 1.5, "a'b", [], {}, [1, "x"], {"a": [1, {"b": None}]}, (1, 2)])
    def test_a_small_value_is_shown_as_it_is(self, value: object) -> None:
        assert shorten(value) == repr(value)


def test_long_names_in_places_are_cut() -> None:
    assert place(("a", "x" * 1_000_000)) == f'a["{"x" * MAX_NAME}..."]'
    assert len(place(("é" * 1_000,) * 64)) < 64 * 1_000


def test_a_fault_is_no_longer_than_people_read() -> None:
    fault = Fault("a" * 1_000_000, "b" * 1_000_000)
    assert len(fault.path) <= 1_000
    assert len(fault.message) <= 2_000
