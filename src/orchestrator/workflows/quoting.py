"""What an author may have meant by an expression that cannot be a selector: a name to quote, or a literal."""

import json
import re

from orchestrator.domain.selectors import SelectorError, reads

_LONGEST = 200
_ROOTS = frozenset({"trigger", "change", "base", "steps", "run"})
# What is quoted, the number of an index or a slice, or a name up to the next character with a meaning in JMESPath.
_PIECES = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|(?<=[\[:])-?\d+|[^\s.\[\](){}|&<>=!,:'"`*?@]+"""
)
_AS_IT_IS = re.compile(r"""['"`].*|[A-Za-z_][A-Za-z0-9_]*""", re.DOTALL)
_AN_EXPRESSION = re.compile(r"""[\[({'"`\\]|(?:trigger|change|base|steps|run)\b[.\[]""")


def name_to_quote(expression: str) -> str:
    """Return the hint for an expression that does not parse because a name in it lacks its quotes; or nothing."""
    quoted = _PIECES.sub(_quote, expression) if len(expression) <= _LONGEST else expression
    if quoted == expression or not _is_selector(quoted):
        return ""
    return f"; quote names that hold other characters than letters, digits and _: {quoted}"


def literal(expression: str) -> str:
    """Return the hint for an expression that is more likely a value than a selector; or nothing."""
    text = expression.strip()
    if _is_json(text):
        return f'; for the value itself, write "`{text}`"'
    if not text or len(text) > _LONGEST or "\n" in text or _AN_EXPRESSION.search(text):
        return ""
    return f"; for the text itself, write \"'{text}'\", with both pairs of quotes"


def _quote(piece: "re.Match[str]") -> str:
    text = piece[0]
    is_index = piece.start() > 0 and piece.string[piece.start() - 1] in "[:" and text.removeprefix("-").isdigit()
    return text if is_index or _AS_IT_IS.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _is_selector(expression: str) -> bool:
    try:
        return any(path and path[0] in _ROOTS for path in reads(expression))
    except SelectorError:
        return False


def _is_json(text: str) -> bool:
    """Say whether a text is a number, true, false or null."""
    try:
        return len(text) <= _LONGEST and not isinstance(json.loads(text), str | list | dict)
    except ValueError:
        return False
