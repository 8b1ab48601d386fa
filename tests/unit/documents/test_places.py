"""Places as people read them."""

import pytest

from orchestrator.documents.places import in_order, place, shorten
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
