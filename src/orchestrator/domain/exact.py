"""Checks that JSON text means the same to every parser: no number changes when it is parsed, no key is duplicated.

Fast parsers silently turn integers beyond 64 bits into floats, round what a double cannot hold, and keep the last of
two equal keys. Two different texts would then be one value, or a request would mean something else than it says.
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
"""Longer integers are rejected without parsing them; Python parses at most 4,300 digits."""


class _DuplicateKey(dict[str, Any]):
    """An object with a duplicate key."""

    key = ""


class _ChangedNumber:
    """A number whose value would change when it is parsed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def check_numbers(text: bytes) -> None:
    """Check that every parser reads the numbers of a valid JSON text as they are written.

    Fractions are rounded to the nearest double, as usual. Integers, and numbers without a fractional part, are
    rejected if their value would change.

    Raises:
        InputNotCanonical: an integer is beyond 2**53 - 1, or another number is too large for a double, would become 0,
            or is beyond 2**53 - 1 and would change; the message names the path.
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
    """Check that no object in a JSON text has a duplicate key; `document` is the parsed text.

    Raises:
        InputNotCanonical: an object has a duplicate key; the message names the path.
    """
    # Each key ends in a quote and a colon, which a string may contain too: only surplus matches need a full check.
    if len(_KEY.findall(text)) <= _count_keys(document):
        return
    found = next(_faults(json.loads(text, object_pairs_hook=_object), "$"), None)
    if found is not None:
        path, why = found
        raise InputNotCanonical(f"{path}: {why}", path=path, reason=why)


def read_exactly(text: str) -> Any:
    """Parse a JSON text exactly.

    Raises:
        ValueError: the text is not JSON; NaN and Infinity are not JSON either.
        InputNotCanonical: a number would change when it is parsed, or a key is duplicated; the message names the path.
        RecursionError: the text is nested too deeply.
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
    if isinstance(value, _ChangedNumber):
        yield path, value.reason
    elif isinstance(value, Mapping):
        if isinstance(value, _DuplicateKey):
            yield f"{path}.{value.key}", "the key is given twice"
        for name, item in value.items():
            yield from _faults(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _faults(item, f"{path}[{number}]")


def _integer(text: str) -> int | _ChangedNumber:
    if len(text) <= _LONGEST and abs(number := int(text)) <= MAX_SAFE_INTEGER:
        return number
    return _ChangedNumber(f"{text if len(text) < 40 else 'an integer'} is beyond 2**53 - 1")


def _float(text: str) -> float | _ChangedNumber:
    number = float(text)
    shown = text if len(text) < 40 else f"{text[:37]}..."
    if math.isinf(number):
        return _ChangedNumber(f"{shown} is too large for a double")
    if number == 0 and Decimal(text) != 0:
        return _ChangedNumber(f"{shown} would become 0")
    if abs(number) > MAX_SAFE_INTEGER and Decimal(repr(number)) != Decimal(text):
        return _ChangedNumber(f"{shown} would become {number!r}")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    result = _DuplicateKey(made)
    seen: set[str] = set()
    result.key = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return result
