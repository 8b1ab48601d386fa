"""Estimate the cost of compiling a pattern from its text, because RE2 cannot be interrupted while it compiles."""

import re
from functools import lru_cache

import re2

# RE2 syntax. A class is one token; a brace that does not start a repetition is a literal.
_TOKEN = re.compile(
    r"(?P<named>\\[pP](?:\{[^}]{0,100}\}|.))|\\(?:x\{[0-9A-Fa-f]+\}|.)"
    r"|(?P<set>\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])"
    r"|(?P<open>\()|(?P<close>\))|\{(?P<low>[0-9]{1,4})(?:,(?P<high>[0-9]{0,4}))?\}|.",
    re.DOTALL,
)
_NAMED = re.compile(r"\\[pP](?:\{[^}]{0,100}\}|.)", re.DOTALL)
_FOLDS = re.compile(r"\(\?[a-zA-Z-]*i")
_FOLDED_RANGE = 100
_UNKNOWN = 1_200
_MOST = 1_000_000_000


def estimate(text: str) -> int:
    """Return the approximate number of instructions of a pattern in RE2 syntax, with its repetitions expanded.

    A Unicode class counts as the instructions that it compiles to; parsing it takes time in proportion.
    """
    folds = _FOLDS.search(text) is not None
    sums, last = [0], 0
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "low" | "high":
                times = max(1, int(token["low"]), int(token["high"] or 0))
                sums[-1] += last * (times - 1)
                last *= times
                continue
            case "open":
                sums.append(0)
                last = 0
                continue
            case "close":
                last = 2 + (sums.pop() if len(sums) > 1 else 0)
            case "named":
                last = _size(token[0])
            case "set":
                last = _set_size(token[0], folds=folds)
            case _:
                last = 1
        sums[-1] = min(sums[-1] + last, _MOST)
        last = min(last, _MOST)
    return sum(sums)


def _set_size(text: str, *, folds: bool) -> int:
    ranges = text.count("-") if folds and ("\\x" in text or not text.isascii()) else 0
    return 1 + ranges * _FOLDED_RANGE + sum(_size(name) for name in _NAMED.findall(text))


@lru_cache(maxsize=1024)
def _size(name: str) -> int:
    """Return the number of instructions that a Unicode class compiles to."""
    options = re2.Options()
    options.log_errors = False
    try:
        return int(re2.compile(name, options).programsize)
    except re2.error:
        return _UNKNOWN
