"""What cannot be sent is told before anything is sent, with its place."""

import math
from typing import Any

import pytest

from orchestrator.client.bodies import encoded
from orchestrator.client.errors import InvalidRequest

DEEP: list[Any] = []
DEEP.append(DEEP)


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({"triggerPayload": {"n": math.nan}}, "triggerPayload.n", "nan is not JSON"),
        ({"a": [1, {"b": -math.inf}]}, "a[1].b", "-inf is not JSON"),
        ({"a": {1, 2}}, "a", "set is not JSON"),
        ({"a": {"b": b"x"}}, "a.b", "bytes is not JSON"),
        ({"a": {(1, 2): 3}}, "a", "a key is tuple, not text"),
        ({"a": object()}, "a", "object is not JSON"),
        ({"a": DEEP}, "", "nested too deeply"),
    ],
)
def test_a_body_that_is_not_json(body: Any, path: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encoded(body)
    (fault,) = caught.value.details["faults"]
    assert words in fault["message"]
    assert fault["path"].startswith(path)
    assert caught.value.status == 400


def test_a_body_that_is() -> None:
    assert encoded({"a": [1, 1.5, None, "\u00e9"]}) == b'{"a": [1, 1.5, null, "\\u00e9"]}'
