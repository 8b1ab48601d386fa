"""Suggestions for misspelled names."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 64
"""Longer names are not compared: the time grows with the product of the lengths."""

_BUDGET = 10_000
"""How many characters of known names one call compares at most, which takes less than 20 ms."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `name`, or None when none is similar.

    Names with the same first letter are compared first, in case there are more names than one call compares.
    """
    if not 0 < len(name) <= _LONGEST:
        return None
    likely: list[str] = []
    others: list[str] = []
    for candidate in known:
        # difflib requires 60 % of both names to match, so much longer or shorter names never do.
        if len(candidate) <= _LONGEST and 3 * len(candidate) <= 7 * len(name) and 3 * len(name) <= 7 * len(candidate):
            (likely if candidate[:1] == name[:1] else others).append(candidate)
    left = _BUDGET
    compared: list[str] = []
    for candidate in (*likely, *others):
        left -= len(candidate)
        if left < 0:
            break
        compared.append(candidate)
    close = get_close_matches(name, compared, n=1)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: `; did you mean 'x'?`, or nothing."""
    meant = nearest(name, known)
    return "" if meant is None else f"; did you mean {meant!r}?"
