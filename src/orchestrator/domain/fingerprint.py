"""Fingerprints: the canonical JSON form of a value (RFC 8785), and the keys derived from it."""

import json
import math
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import orjson
import rfc8785

from orchestrator.domain.budget import MAX_UNITS, Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical, ValueTooLarge

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""

MAX_NESTING = 200
"""How deep a value may be nested: JSON encoders fail at about 250 levels, and stored values are wrapped in a few."""


def canonical(value: Any, budget: Budget | None = None) -> bytes:
    """Return the RFC 8785 canonical JSON of a value, in UTF-8.

    Args:
        value: plain JSON.
        budget: what the value may expand to; `MAX_UNITS` units when None.

    Raises:
        InputNotCanonical: the value contains NaN, Infinity, a key that is not a string, an integer beyond
            2**53 - 1, bytes, a set or a lone surrogate; the message names the path. Nothing is guessed or coerced.
        ValueTooLarge: the value expands to more than `MAX_UNITS` units, or contains itself.
        BudgetExceeded: the value expands to more than the given budget.
    """
    try:
        plain = check_size(value) if budget is None else _is_plain(value, budget)
        return _encode_fast(value) if plain else rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        path, why = _first_fault(value) or ("$", str(error))
        raise InputNotCanonical(f"{path} has no canonical JSON form: {why}", path=path, reason=why) from error


def check_size(value: Any) -> bool:
    """Check that a value expands to at most `MAX_UNITS` units; return whether the fast encoder can write it.

    Raises:
        ValueTooLarge: the value expands to more.
    """
    try:
        return _is_plain(value, Budget())
    except RecursionError:  # no encoder can write it; `canonical` reports the path
        return False
    except BudgetExceeded:
        reason = f"it expands to more than {MAX_UNITS:,} values, or to as much text"
        raise ValueTooLarge(f"the value is too large: {reason}", path="$", reason=reason) from None


def _encode_fast(value: Any) -> bytes:
    """Return the canonical form of a value that `_walk` accepted.

    orjson writes the same bytes as RFC 8785 for most values. It does not implement two rules: the form of numbers with
    an exponent or with ".0", and the order of non-ASCII keys.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested more deeply than orjson supports, or a lone surrogate
        return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


class _NotPlain(Exception):
    """Only the `rfc8785` library can write the value."""


def _is_plain(value: Any, budget: Budget) -> bool:
    """Return whether the fast encoder writes a value as RFC 8785 requires, and charge the budget for the value.

    Raises:
        BudgetExceeded: the value costs more than is left.
    """
    try:
        left = _walk(value, budget.left - 1)
    except _NotPlain:
        budget.spend_deep(value)
        return False
    except BudgetExceeded:
        budget.left = -1
        raise
    budget.spend(budget.left - left)
    return True


# One function for all types, and shifts instead of divisions: every input and result of a step goes through here.
def _walk(value: Any, left: int) -> int:
    """Return how many units are left after charging for a value."""
    kind = type(value)
    if kind is dict:
        left -= len(value)
        if left < 0:
            raise BudgetExceeded
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise _NotPlain
            if type(item) is str:
                left -= len(key) + len(item) >> 5
            else:
                left = _walk(item, left - (len(key) >> 5))
        return left
    if kind is list or kind is tuple:
        left -= len(value)
        if left < 0:
            raise BudgetExceeded
        for item in value:
            left = left - (len(item) >> 5) if type(item) is str else _walk(item, left)
        return left
    if kind is str:
        return left - (len(value) >> 5)
    if value is None or kind is bool or (kind is int and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER):
        return left
    if kind is float and value % 1 and 1e-4 <= abs(value) < 1e16:  # Python and ECMAScript write these alike
        return left
    raise _NotPlain


_LONG_NUMBER = re.compile(rb"\d{16}")


def canonical_value(form: bytes, loads: Callable[[bytes], Any] = json.loads) -> Any:
    """Return the value that a canonical form represents: 1 for `1.0`, 0 for `-0.0`, keys in canonical order.

    Equal forms give equal values, so the receiver cannot tell which of several equivalent values was hashed.

    Args:
        form: canonical JSON.
        loads: a JSON parser faster than the standard library's; it is not used for text with long numbers.
    """
    if _LONG_NUMBER.search(form) is None:
        try:
            return loads(form)
        except ValueError:  # nested more deeply than that parser supports
            return json.loads(form)
    return json.loads(form, parse_int=_integer)


def _integer(text: str) -> int | float:
    """Return an integer, or, beyond 2**53 - 1, the float that RFC 8785 writes like an integer."""
    number = int(text)
    return number if abs(number) <= MAX_SAFE_INTEGER else float(text)


def check_storable(value: Any, budget: Budget | None = None) -> bytes:
    """Check that a value can be stored in the log and in the read models; return its canonical form.

    Raises:
        InputNotCanonical: the value has no canonical form, is nested more than 200 levels deep, or contains a
            string with NUL, which Postgres cannot store.
        BudgetExceeded: the value expands to more than the given budget.
    """
    form = canonical(value, budget)
    # walk through the value only if it has enough brackets to be nested too deeply
    if form.count(b"[") + form.count(b"{") > MAX_NESTING and is_nested_deeper(value, MAX_NESTING):
        reason = f"it is nested more than {MAX_NESTING} levels deep"
        raise InputNotCanonical(f"the value cannot be stored: {reason}", path="$", reason=reason)
    if b"\\u0000" in form and (path := _nul(value, "$")) is not None:
        raise InputNotCanonical(f"{path} holds a NUL character, which cannot be stored", path=path, reason="NUL")
    return form


def is_nested_deeper(value: Any, levels: int) -> bool:
    """Return whether objects and arrays are nested more than `levels` deep."""
    if not isinstance(value, Mapping | list | tuple):
        return False
    inside = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(is_nested_deeper(item, levels - 1) for item in inside)


def fingerprint(value: Any, budget: Budget | None = None) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in lower-case hex; raises what `canonical` does."""
    return sha256(canonical(value, budget)).hexdigest()


def cache_key(workflow_name: str, step_id: str, input_hash: str) -> str:
    """Return the cache key of a step's result, the same for every run of the workflow with the same input."""
    return f"{workflow_name}:{step_id}:{input_hash}"


def _first_fault(value: Any) -> tuple[str, str] | None:
    try:
        return _fault(value, "$")
    except RecursionError:
        return "$", "it is nested too deeply, or holds itself"


def _fault(value: Any, path: str) -> tuple[str, str] | None:
    """Return the first place that has no canonical form as `(path, why)`, or None."""
    match value:
        case None | bool():
            return None
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return path, "the text holds a lone surrogate"
            return None
        case int():
            if abs(value) <= MAX_SAFE_INTEGER:
                return None
            # thousands of digits are of no use, and Python refuses to print them
            return path, f"{value if value.bit_length() < 128 else 'an integer'} is beyond 2**53 - 1"
        case float():
            return None if math.isfinite(value) else (path, f"{value} is not a JSON number")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    return path, f"key {key!r} is not a string"
                if fault := _fault(key, path) or _fault(item, f"{path}.{key}"):
                    return fault
            return None
        case list() | tuple():
            for index, item in enumerate(value):
                if fault := _fault(item, f"{path}[{index}]"):
                    return fault
            return None
        case _:
            return path, f"{type(value).__name__} is not a JSON type"


def _nul(value: Any, path: str) -> str | None:
    """Return the path of the first string that contains NUL, in a value known to be canonical, or None."""
    match value:
        case str():
            return path if "\0" in value else None
        case dict():
            found = (_nul(key, path) or _nul(item, f"{path}.{key}") for key, item in value.items())
        case list() | tuple():
            found = (_nul(item, f"{path}[{index}]") for index, item in enumerate(value))
        case _:
            return None
    return next((place for place in found if place is not None), None)
