"""Patterns of a payload schema: ECMA-262 as far as it can be matched in linear time.

The engine is RE2, which never goes back, so no pattern and no text make it take exponential time. What it cannot do
(lookaround, back references) is refused when the workflow is registered.
"""

import re
from functools import lru_cache
from typing import Any

import re2

from orchestrator.domain.budget import Budget

MAX_PATTERN = 10_000
"""How many characters a pattern may have."""

MAX_INSTRUCTIONS = 20_000
"""How large a compiled pattern may be."""

_COST = 100
"""So many steps of the engine, characters times instructions, count as one unit of a budget."""

_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})"
    r"|c([A-Za-z])|([pP])\{(?:Script|sc|General_Category|gc)=([A-Za-z_]+)\}|(.))",
    re.DOTALL,
)
_PLAIN_ESCAPES = frozenset("dDwWsSbBtnvfr0xpP")


class PatternRefused(ValueError):
    """A pattern cannot be used; the message says why."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Compile a pattern.

        Raises:
            PatternRefused: it is none, cannot be matched in linear time, or is too large.
        """
        if len(text) > MAX_PATTERN:
            raise PatternRefused(f"it has {len(text):,} characters, more than {MAX_PATTERN:,}")
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled: Any = re2.compile(_ESCAPE.sub(_translated, text), options)
        except re2.error as error:
            raise PatternRefused(_reason(error)) from None
        self._size = int(self._compiled.programsize)
        if self._size > MAX_INSTRUCTIONS:
            raise PatternRefused("it is too large when its repetitions are written out; use smaller counts")

    def matches(self, text: str, budget: Budget) -> bool:
        """Say whether a text holds a match, and take what looking for it costs.

        Raises:
            BudgetExceeded: it costs more than there is.
        """
        budget.spend(1 + len(text) * self._size // _COST)
        return self._compiled.search(text) is not None


@lru_cache(maxsize=4096)
def pattern(text: str) -> Pattern:
    """Return a compiled pattern; each is compiled once.

    Raises:
        PatternRefused: see `Pattern`.
    """
    return Pattern(text)


def _translated(escape: "re.Match[str]") -> str:
    """Return an escape of ECMA-262 as RE2 writes it."""
    braced, high, low, four, control, kind, name, other = escape.groups()
    if braced or four:
        return _character(int(braced or four, 16), escape[0])
    if high:
        return _character(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF), escape[0])
    if control:
        return _character(ord(control) % 32, escape[0])
    if kind:
        return f"\\{kind}{{{name}}}"
    if other.isalnum() and other not in _PLAIN_ESCAPES:
        what = "a back reference" if other in "123456789k" else "no escape of ECMA-262"
        raise PatternRefused(f"\\{other} is {what}, which is not supported")
    return escape[0]


def _character(number: int, written: str) -> str:
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise PatternRefused(f"{written} is no character")
    return f"\\x{{{number:x}}}"


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if "(?=" in text or "(?!" in text or "(?<" in text:
        return "lookahead and lookbehind cannot be matched in linear time; write it without"
    return text[:200]
