"""Why an attempt failed, in a few lines: the skill's own frames, the end of stderr, or the answer of a service."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from orchestrator.cli.output.visible import visible

_MAX_LINES = 12
_MAX_CHARACTERS = 400
_INDENT = "    "
_FULL = ("traceback", "stderr", "body")
_OMITTED = frozenset({"type", "exitCode", "status", "command", "faults"})
"""The message says these already."""


def reason_lines(error: Mapping[str, Any]) -> list[str]:
    """Return what the details of an error add to its message, a line each; text of any length is shortened."""
    details = error.get("details") or {}
    lines = [line for name in _FULL for line in _tail(details.get(name))]
    lines += [f"caused by {cause}" for cause in _texts(details.get("causes"))]
    for name, value in details.items():
        if name not in _OMITTED and name not in _FULL and name != "causes":
            lines.append(_short(f"{name}: {value if isinstance(value, str) else orjson.dumps(value).decode()}"))
    return lines


def print_reasons(console: Console, failures: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Print each failure: its title and message, and below it the details.

    Args:
        console: where to print.
        failures: titles, such as `parse (attempt 2)`, and errors as the API returns them.
    """
    for title, error in failures:
        lines = reason_lines(error)
        if lines:
            console.print()
            heading = f"{title}: {error['code']}: {error['message']}"
            console.print(Text(visible(heading, lines=False), style="red"), soft_wrap=True)
            for line in lines:
                console.print(Text(_INDENT + visible(line, lines=False)), soft_wrap=True)


def _tail(value: Any) -> Iterator[str]:
    """Yield the last lines of a text."""
    if not isinstance(value, str):
        return
    lines = [line.rstrip() for line in value.splitlines() if line.strip()]
    if len(lines) > _MAX_LINES:
        yield f"... ({len(lines) - _MAX_LINES} lines before)"
    yield from map(_short, lines[-_MAX_LINES:])


def _texts(value: Any) -> list[str]:
    return [_short(text) for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
