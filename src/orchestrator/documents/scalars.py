"""Detect unquoted YAML scalars that YAML 1.1, YAML 1.2 and JSON read differently. They are rejected, not guessed.

`010` is 8 in YAML 1.1 and 10 in YAML 1.2, `yes` is true or a string, `1:30` is 90 or a string, `1e3` is a string or
1000.
"""

import math
import re
from typing import Any

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# Scalars that some version of YAML reads as a number, but YAML 1.1 as a string.
_DIGITS = re.compile(r"[-+]?(0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|0o[0-7]+)")
_LONGEST = 300
_BOOLEANS = frozenset({"true", "false"})


def ambiguity(kind: str, text: str, value: Any) -> str | None:
    """Return why an unquoted scalar is ambiguous and how to write it instead, or None if it is unambiguous.

    Args:
        kind: its type in YAML 1.1: `bool`, `int`, `float` or `str`.
        text: the scalar as written.
        value: its value in YAML 1.1.
    """
    match kind:
        case "bool":
            if text.lower() in _BOOLEANS:
                return None
            word = _json(value)
            return f"{text} is {word} in YAML 1.1 but a string elsewhere; write {word}, or {_quoted(text)}"
        case "float" if not math.isfinite(value):
            return f"{text} is not a JSON number; remove it, or write {_quoted(text)}"
        case "int" | "float":
            if _NUMBER.fullmatch(text):
                return None
            return f"{text} is {value} in YAML 1.1 but not elsewhere; write {value}, or {_quoted(text)}"
        case _:
            if not (_NUMBER.fullmatch(text) or _DIGITS.fullmatch(text)):
                return None
            return f"{text} is a string in YAML 1.1 but a number elsewhere; write {_decimal(text)}{_quoted(text)}"


def _json(value: bool) -> str:
    return "true" if value else "false"


def _quoted(text: str) -> str:
    return f'"{text}" in quotes for a string'


def _decimal(text: str) -> str:
    if len(text) > _LONGEST:
        return ""
    number = float(int(text, 8)) if "o" in text else float(text)
    if not math.isfinite(number):
        return ""
    return f"{number:.0f}, or " if number.is_integer() and abs(number) < 1e15 else f"{number}, or "
