"""Patterns of a payload schema: ECMA-262 as far as it can be matched in linear time.

The engine is RE2, which never goes back, so no pattern and no text make it take exponential time. What it cannot do
(lookaround, back references) is refused when the workflow is registered.
"""

import re
from typing import Any

import re2

from orchestrator.domain.budget import QUICK_UNITS, Budget, BudgetExceeded
from orchestrator.workflows.pattern_costs import estimate
from orchestrator.workflows.weighted_cache import WeightedCache

MAX_PATTERN = 10_000
"""How many characters a pattern may have."""

MAX_INSTRUCTIONS = 20_000
"""How large a compiled pattern may be."""

_MAX_ESTIMATE = 2 * MAX_INSTRUCTIONS  # sets with several Unicode classes are smaller than estimated

# Bytes that the engine may take for a compiled pattern and for what it learns while matching. It stops compiling when
# they do not suffice, and matches more slowly. Small first: most patterns are.
_MEMORY = (128 << 10, 512 << 10)
_MAX_KEPT_BYTES = 64 << 20
_TOO_LARGE = "it is too large when its repetitions are written out; use smaller counts"

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
    """A compiled pattern: `size` is its number of instructions, `weight` how many bytes it may take in memory."""

    def __init__(self, text: str, budget: Budget | None = None) -> None:
        """Compile a pattern.

        Args:
            text: the pattern.
            budget: has to suffice for compiling it. Only a small one, of an event loop, is spent on that: whether a
                payload fits is not to depend on what was compiled before.

        Raises:
            PatternRefused: it is none, cannot be matched in linear time, or is too large.
            BudgetExceeded: the budget does not suffice.
        """
        written = _written(text)
        cost = compile_cost(text, written)
        if budget is not None:
            _afford(cost, budget)
        self._compiled, memory = _compile(written)
        self.size = int(self._compiled.programsize)
        if self.size > MAX_INSTRUCTIONS:
            raise PatternRefused(_TOO_LARGE)
        self.weight = memory + 32 * self.size + 8 * len(text)

    def matches(self, text: str, budget: Budget) -> bool:
        """Say whether a text holds a match, and take what looking for it costs.

        Raises:
            BudgetExceeded: it costs more than there is.
        """
        budget.spend(1 + len(text) * self.size // _COST)
        return self._compiled.search(text) is not None


_kept: WeightedCache[str, Pattern | PatternRefused] = WeightedCache(_MAX_KEPT_BYTES)


def pattern(text: str, budget: Budget | None = None) -> Pattern:
    """Return a compiled pattern; what was compiled or refused before is remembered.

    Raises:
        PatternRefused, BudgetExceeded: see `Pattern`.
    """
    found = _kept.get(text)
    if found is None:
        try:
            found = Pattern(text, budget)
        except PatternRefused as refused:
            found = PatternRefused(str(refused))
        _kept.put(text, found, found.weight if isinstance(found, Pattern) else 1_000 + 8 * len(text))
    if isinstance(found, PatternRefused):
        raise PatternRefused(str(found))
    return found


def matches(pattern_text: str, text: str, budget: Budget) -> bool:
    """Say whether a text holds a match of a pattern.

    Raises:
        PatternRefused: see `Pattern`.
        BudgetExceeded: looking for it costs more than there is, or compiling the pattern would.
    """
    return pattern(pattern_text, budget).matches(text, budget)


def compile_cost(text: str, written: str | None = None) -> int:
    """Return how many units of a budget compiling a pattern costs, whether or not it was compiled before.

    Raises:
        PatternRefused: it is not going to be compiled.
    """
    written = _written(text) if written is None else written
    estimated = estimate(written)
    if estimated > _MAX_ESTIMATE:
        raise PatternRefused(_TOO_LARGE)
    return len(text) + estimated


def _afford(cost: int, budget: Budget) -> None:
    if cost > budget.left:
        raise BudgetExceeded
    if budget.left <= QUICK_UNITS:
        budget.spend(cost)


def _written(text: str) -> str:
    """Return a pattern as the engine takes it."""
    if len(text) > MAX_PATTERN:
        raise PatternRefused(f"it has {len(text):,} characters, more than {MAX_PATTERN:,}")
    return _ESCAPE.sub(_translated, text)


def _compile(written: str) -> tuple[Any, int]:
    """Return a compiled pattern and how much memory it may take."""
    options = re2.Options()
    options.log_errors = False
    for memory in _MEMORY:
        options.max_mem = memory
        try:
            return re2.compile(written, options), memory
        except re2.error as error:
            reason = _reason(error)
            if "too large" not in reason:
                raise PatternRefused(reason) from None
    raise PatternRefused(_TOO_LARGE)


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
