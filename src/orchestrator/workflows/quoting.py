"""Hints for an expression that is not a valid selector: a name that needs quotes, or a literal."""

import json
import re

from orchestrator.domain.selectors import SelectorError, reads

_LONGEST = 200
_ROOTS = frozenset({"trigger", "change", "base", "steps", "run"})
# A quoted string, the number of an index or slice, or a name up to the next special character of JMESPath.
_PIECES = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|(?<=[\[:])-?\d+|[^\s.\[\](){}|&<>=!,:'"`*?@]+"""
)
_NEEDS_NO_QUOTES = re.compile(r"""['"`].*|[A-Za-z_][A-Za-z0-9_]*""", re.DOTALL)
_EXPRESSION = re.compile(r"""[\[({'"`\\]|(?:trigger|change|base|steps|run)\b[.\[]""")


def name_to_quote(expression: str) -> str:
    """Return a hint if the expression fails to parse because a name in it needs quotes, otherwise an empty string."""
    quoted = _PIECES.sub(_quote, expression) if len(expression) <= _LONGEST else expression
    if quoted == expression or not _is_selector(quoted):
        return ""
    return f"; quote names with characters other than letters, digits and _: {quoted}"


def literal(expression: str) -> str:
    """Return a hint if the expression is more likely a value than a selector, otherwise an empty string."""
    text = expression.strip()
    if _is_json(text):
        return f'; to use it as a literal value, write "`{text}`"'
    if not text or len(text) > _LONGEST or "\n" in text or _EXPRESSION.search(text):
        return ""
    return f"; to use it as a literal string, write \"'{text}'\", with both pairs of quotes"


def _quote(piece: "re.Match[str]") -> str:
    text = piece[0]
    is_index = piece.start() > 0 and piece.string[piece.start() - 1] in "[:" and text.removeprefix("-").isdigit()
    return text if is_index or _NEEDS_NO_QUOTES.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _is_selector(expression: str) -> bool:
    try:
        return any(path and path[0] in _ROOTS for path in reads(expression))
    except SelectorError:
        return False


def _is_json(text: str) -> bool:
    """Return whether the text is a number, true, false or null."""
    try:
        return len(text) <= _LONGEST and not isinstance(json.loads(text), str | list | dict)
    except ValueError:
        return False
