"""Check that a document is plain data: JSON values only, within the limits on depth and size."""

import math
from typing import Any

from orchestrator.documents.places import place, shorten
from orchestrator.documents.text import MAX_DEPTH, MAX_VALUES
from orchestrator.domain.errors import MAX_FAULTS, Fault

_MAX_SAFE_INTEGER = 2**53 - 1
_Parts = tuple[str | int, ...]


class _LimitExceeded(Exception):
    """The document exceeds a limit or has too many faults, so the check stops."""


def plain_faults(document: Any) -> tuple[list[Fault], bool]:
    """Return the values that have no canonical JSON form, as faults, and whether the document is within bounds.

    Do not process a document that is out of bounds any further: it may contain itself, or have more faults than are
    listed.
    """
    walk = _Walk()
    try:
        walk.visit(document, (), 1)
    except _LimitExceeded:
        return walk.faults, False
    return walk.faults, True


class _Walk:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._left = MAX_VALUES

    def visit(self, value: Any, parts: _Parts, depth: int) -> None:
        self._left -= 1
        if depth > MAX_DEPTH:
            self._stop(parts, f"is nested more than {MAX_DEPTH} levels deep")
        if self._left < 0:
            self._stop((), f"has more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    self._add(parts, f"key {shorten(key)} is not a string")
                    continue
                if not _is_simple(key):
                    self._scalar(key, parts)
                if item is None or (type(item) is str and _is_simple(item)):  # fast path for most values
                    self._left -= 1
                else:
                    self.visit(item, (*parts, key), depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.visit(item, (*parts, index), depth + 1)
        else:
            self._scalar(value, parts)

    def _scalar(self, value: Any, parts: _Parts) -> None:
        match value:
            case None | bool():
                pass
            case str():
                try:
                    value.encode()
                except UnicodeEncodeError:
                    self._add(parts, "contains a lone surrogate, which is not a valid character")
                if "\x00" in value:
                    self._add(parts, "contains a NUL character, which cannot be stored")
            case int():
                if abs(value) > _MAX_SAFE_INTEGER:
                    self._add(parts, "is an integer beyond 2**53 - 1, which JSON cannot represent exactly")
            case float():
                if not math.isfinite(value):
                    self._add(parts, f"{value} is not a JSON number")
            case _:
                self._add(parts, f"{type(value).__name__} is not a JSON type")

    def _add(self, parts: _Parts, message: str) -> None:
        self.faults.append(Fault(place(parts), message))
        if len(self.faults) > MAX_FAULTS:
            raise _LimitExceeded

    def _stop(self, parts: _Parts, message: str) -> None:
        self._add(parts, message)
        raise _LimitExceeded


def _is_simple(text: str) -> bool:
    return text.isascii() and "\x00" not in text
