"""Fingerprints: the one canonical form of a value (RFC 8785) and the keys made from it."""

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import rfc8785

from orchestrator.domain.errors import InputNotCanonical

_MAX_SAFE_INTEGER = 2**53 - 1

MAX_NESTING = 200
"""How deep a value may be nested: JSON writers give up at about 250, and a stored value has some levels around it."""


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 canonical JSON of a value, in UTF-8.

    Raises:
        InputNotCanonical: NaN, Infinity, a key that is not a string, an integer beyond 2**53 - 1, bytes, a
            set, a lone surrogate, a value that holds itself: the message names the path. Never a guess, never
            a weaker form.
    """
    try:
        return _plainly(value) if _is_plain(value) else rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        path, why = _first_fault(value) or ("$", str(error))
        raise InputNotCanonical(f"{path} has no canonical JSON form: {why}", path=path, reason=why) from error


# For values without floats and with ASCII keys the standard library's encoder, in C, writes the very same bytes:
# the rules of RFC 8785 that it does not know are those for numbers and for the order of other keys.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def _plainly(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_plain(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    if kind is int:
        return bool(-_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER)
    return kind is str or kind is bool or value is None


def check_storable(value: Any) -> bytes:
    """Accept a value that can be kept in the log and shown by the read models; returns its canonical form.

    Raises:
        InputNotCanonical: it has no canonical form, is nested more than 200 levels deep, or a text in it holds
            NUL, which Postgres cannot store.
    """
    form = canonical(value)
    # only a form with so many brackets is worth a walk through the value
    if form.count(b"[") + form.count(b"{") > MAX_NESTING and is_nested_deeper(value, MAX_NESTING):
        reason = f"it is nested more than {MAX_NESTING} levels deep"
        raise InputNotCanonical(f"the value cannot be stored: {reason}", path="$", reason=reason)
    if b"\\u0000" in form and (path := _nul(value, "$")) is not None:
        raise InputNotCanonical(f"{path} holds a NUL character, which cannot be stored", path=path, reason="NUL")
    return form


def is_nested_deeper(value: Any, levels: int) -> bool:
    """Say whether objects and arrays are nested in each other more than so many levels deep."""
    if not isinstance(value, Mapping | list | tuple):
        return False
    inside = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(is_nested_deeper(item, levels - 1) for item in inside)


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in lower-case hex."""
    return sha256(canonical(value)).hexdigest()


def cache_key(workflow_name: str, step_id: str, input_hash: str) -> str:
    """Return the key of a step's result, the same for every run of the workflow with the same input."""
    return f"{workflow_name}:{step_id}:{input_hash}"


def _first_fault(value: Any) -> tuple[str, str] | None:
    try:
        return _fault(value, "$")
    except RecursionError:
        return "$", "it is nested too deeply, or holds itself"


def _fault(value: Any, path: str) -> tuple[str, str] | None:
    """Find the first place that has no canonical form: `(path, why)`."""
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
            if abs(value) <= _MAX_SAFE_INTEGER:
                return None
            # thousands of digits help nobody, and Python refuses to print them
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
    """Find the first text that holds NUL, in a value known to be canonical."""
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
