"""Regular expressions of payload schemas: the subset of ECMA-262 that can be matched in linear time.

The engine is RE2, which never backtracks, so no pattern and no text can cause exponential time. Syntax that RE2 does
not support (lookaround, backreferences) is rejected when the workflow is registered.
"""

import re
from typing import Any

import re2

from orchestrator.domain.budget import QUICK_UNITS, Budget, BudgetExceeded
from orchestrator.workflows.pattern_costs import estimate
from orchestrator.workflows.weighted_cache import WeightedCache

MAX_PATTERN = 10_000
"""The maximum length of a pattern in characters."""

MAX_INSTRUCTIONS = 20_000
"""The maximum size of a compiled pattern in instructions."""

_MAX_ESTIMATE = 2 * MAX_INSTRUCTIONS  # the estimate is too high for sets with several Unicode classes

# Memory limits for the engine, in bytes, for the compiled pattern and the state cached while matching. If the limit is
# too low, compiling fails or matching is slower. The small limit is tried first because most patterns are small.
_MEMORY = (128 << 10, 512 << 10)
_MAX_KEPT_BYTES = 64 << 20
_TOO_LARGE = "too large once its repetitions are expanded; use smaller counts"

_COST = 100
"""The number of engine steps (characters times instructions) that cost one unit of a budget."""

_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})"
    r"|c([A-Za-z])|([pP])\{(?:Script|sc|General_Category|gc)=([A-Za-z_]+)\}|(.))",
    re.DOTALL,
)
_PLAIN_ESCAPES = frozenset("dDwWsSbBtnvfr0xpP")


class PatternRefused(ValueError):
    """The pattern is invalid or not supported; the message says why."""


class Pattern:
    """A compiled pattern: `size` is its number of instructions, `weight` its maximum memory in bytes."""

    def __init__(self, text: str, budget: Budget | None = None) -> None:
        """Compile a pattern.

        Args:
            text: the pattern.
            budget: must cover the cost of compiling. The cost is only charged to a small budget (that of an event
                loop): whether a payload is valid must not depend on which patterns are already cached.

        Raises:
            PatternRefused: the pattern is invalid, cannot be matched in linear time, or is too large.
            BudgetExceeded: the budget is too small.
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
        """Return whether the text contains a match, and charge the search to the budget.

        Raises:
            BudgetExceeded: the search costs more than the budget has left.
        """
        budget.spend(1 + len(text) * self.size // _COST)
        return self._compiled.search(text) is not None


_kept: WeightedCache[str, Pattern | PatternRefused] = WeightedCache(_MAX_KEPT_BYTES)


def pattern(text: str, budget: Budget | None = None) -> Pattern:
    """Return a compiled pattern. Compiled and refused patterns are cached.

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
    """Return whether the text contains a match of a pattern.

    Raises:
        PatternRefused: see `Pattern`.
        BudgetExceeded: compiling the pattern or searching costs more than the budget has left.
    """
    return pattern(pattern_text, budget).matches(text, budget)


def compile_cost(text: str, written: str | None = None) -> int:
    """Return the cost of compiling a pattern in budget units, whether or not it is cached.

    Raises:
        PatternRefused: the pattern is too long or too large to compile.
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
    """Return the pattern in the syntax of RE2."""
    if len(text) > MAX_PATTERN:
        raise PatternRefused(f"too long, {len(text):,} characters; at most {MAX_PATTERN:,} are allowed")
    return _ESCAPE.sub(_translated, text)


def _compile(written: str) -> tuple[Any, int]:
    """Return a compiled pattern and its memory limit in bytes."""
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
    """Return the RE2 form of an ECMA-262 escape."""
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
        if other in "123456789k":
            raise PatternRefused(f"\\{other} is a backreference, which cannot be matched in linear time")
        raise PatternRefused(f"\\{other} is not an ECMA-262 escape")
    return escape[0]


def _character(number: int, written: str) -> str:
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise PatternRefused(f"{written} is not a valid character")
    return f"\\x{{{number:x}}}"


def _reason(error: Exception) -> str:
    message = error.args[0] if error.args else ""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    if "(?=" in text or "(?!" in text or "(?<" in text:
        return "lookahead and lookbehind cannot be matched in linear time; rewrite the pattern without them"
    return text[:200]
