"""Plain YAML scalars that YAML 1.1, YAML 1.2 and JSON do not read alike: refused rather than guessed.

`010` is 8 to YAML 1.1 and 10 to YAML 1.2, `yes` is true or text, `1:30` is 90 or text, `1e3` is text or 1000.
"""

import math
import re
from typing import Any

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# What a version of YAML takes for a number although YAML 1.1 leaves it as text.
_DIGITS = re.compile(r"[-+]?(0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|0o[0-7]+)")
_LONGEST = 300
_BOOLEANS = frozenset({"true", "false"})


def ambiguity(kind: str, text: str, value: Any) -> str | None:
    """Return what is wrong with an unquoted scalar and how to write it, or None when it can mean one thing only.

    Args:
        kind: what YAML 1.1 takes it for: `bool`, `int`, `float` or `str`.
        text: the scalar as it is written.
        value: what YAML 1.1 reads.
    """
    match kind:
        case "bool":
            if text.lower() in _BOOLEANS:
                return None
            return f"{text} is {_json(value)} in YAML 1.1 and text elsewhere: write {_json(value)}, or {_quoted(text)}"
        case "float" if not math.isfinite(value):
            return f"{text} is not a JSON number: leave it out, or write {_quoted(text)}"
        case "int" | "float":
            if _NUMBER.fullmatch(text):
                return None
            return f"{text} is {value} in YAML 1.1 and not elsewhere: write {value}, or {_quoted(text)}"
        case _:
            if not (_NUMBER.fullmatch(text) or _DIGITS.fullmatch(text)):
                return None
            return f"{text} is text in YAML 1.1 and a number elsewhere: write {_decimal(text)}{_quoted(text)}"


def _json(value: bool) -> str:
    return "true" if value else "false"


def _quoted(text: str) -> str:
    return f'"{text}" in quotes for text'


def _decimal(text: str) -> str:
    if len(text) > _LONGEST:
        return ""
    number = float(int(text, 8)) if "o" in text else float(text)
    if not math.isfinite(number):
        return ""
    return f"{number:.0f}, or " if number.is_integer() and abs(number) < 1e15 else f"{number}, or "
