"""JSON text that means the same to every reader: no number changes when it is read, no key is given twice.

Quick parsers turn integers beyond 64 bits into floats, round what a double cannot hold, and keep the last of two equal
keys, all without a word. Two different texts would then be one value, or a request something else than it says.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import MAX_SAFE_INTEGER

_DOUBTFUL_NUMBER = re.compile(rb"\d{16}|(?:^|[\[:,\s])-?\d+(?:\.\d+)?[eE]")
_KEY = re.compile(rb'"\s*:')
_LONGEST = 1000
"""Nobody needs to see more digits of a number, and Python reads only 4,300 of an integer."""


class _Doubled(dict[str, Any]):
    """An object with a key that is given twice."""

    key = ""


class _Changed:
    """A number that is another one once it is read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def check_numbers(text: bytes) -> None:
    """Accept a JSON text, known to be one, whose numbers every reader takes as they are written.

    A fraction is rounded to the nearest double, as everywhere; what is refused is an integer, or a number without a
    fraction, that would become another one.

    Raises:
        InputNotCanonical: a number is beyond 2**53 - 1 and no double, too large for one, or would become 0; the message
            names the path.
    """
    if _DOUBTFUL_NUMBER.search(text) is None:
        return
    try:
        document = json.loads(text, parse_int=_integer, parse_float=_float)
        found = next(_faults(document, "$"), None)
    except RecursionError:
        found = "$", "it is nested too deeply"
    if found is not None:
        path, why = found
        raise InputNotCanonical(f"{path} has no canonical JSON form: {why}", path=path, reason=why)


def check_keys(text: bytes, document: Any) -> None:
    """Accept a JSON text none of whose objects has a key twice; `document` is what a parser made of it.

    Raises:
        InputNotCanonical: an object has; the message names the path.
    """
    # Each key is followed by a colon, and what looks like one besides is within a text: then a closer look is due.
    if len(_KEY.findall(text)) <= _count_keys(document):
        return
    found = next(_faults(json.loads(text, object_pairs_hook=_object), "$"), None)
    if found is not None:
        path, why = found
        raise InputNotCanonical(f"{path} {why}", path=path, reason=why)


def read_exactly(text: str) -> Any:
    """Return what a JSON text holds, exactly.

    Raises:
        ValueError: it is not JSON, or holds NaN or Infinity, which are not.
        InputNotCanonical: a number changes when it is read, or a key is given twice; the message names the path.
        RecursionError: it is nested too deeply.
    """
    document = json.loads(
        text, parse_int=_integer, parse_float=_float, parse_constant=_constant, object_pairs_hook=_object
    )
    for path, why in _faults(document, "$"):
        raise InputNotCanonical(f"{path}: {why}", path=path, reason=why)
    return document


def _count_keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_count_keys(item) for item in value.values() if isinstance(item, dict | list))
    if isinstance(value, list):
        return sum(_count_keys(item) for item in value if isinstance(item, dict | list))
    return 0


def _faults(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, _Changed):
        yield path, value.reason
    elif isinstance(value, Mapping):
        if isinstance(value, _Doubled):
            yield f"{path}.{value.key}", "the key is given twice"
        for name, item in value.items():
            yield from _faults(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _faults(item, f"{path}[{number}]")


def _integer(text: str) -> int | _Changed:
    if len(text) <= _LONGEST and abs(number := int(text)) <= MAX_SAFE_INTEGER:
        return number
    return _Changed(f"{text if len(text) < 40 else 'an integer'} is beyond 2**53 - 1")


def _float(text: str) -> float | _Changed:
    number = float(text)
    shown = text if len(text) < 40 else f"{text[:37]}..."
    if math.isinf(number):
        return _Changed(f"{shown} is too large for a number")
    if number == 0 and Decimal(text) != 0:
        return _Changed(f"{shown} would become 0")
    if abs(number) > MAX_SAFE_INTEGER and Decimal(repr(number)) != Decimal(text):
        return _Changed(f"{shown} would become {number!r}")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = _Doubled(made)
    seen: set[str] = set()
    doubled.key = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return doubled
