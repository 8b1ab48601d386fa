"""Untrusted text, made safe for a terminal.

Names, labels, descriptions and errors come from payloads, skills and servers. Control characters in them can move, hide
and color text, set the terminal's title, write to the clipboard, or reverse the direction of text. They are printed as
escapes (backslash, x1b), whether the text goes to a terminal, a pipe or a file. The control characters of this
program's own output are unchanged.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Control characters, format characters (zero width, text direction), lone surrogates, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINES = frozenset("\n\t")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def visible(text: str, *, lines: bool = True) -> str:
    """Return a text with its control characters escaped. With `lines`, line ends and tabs are kept."""
    if text.isprintable():  # the usual case
        return text
    return "".join(_escape(character, lines) for character in text)


def visible_json(text: str) -> str:
    """Return equivalent JSON text with its control characters escaped."""
    return _BEYOND_ASCII.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _UNSAFE:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _escape(character: str, lines: bool) -> str:
    if unicodedata.category(character) not in _UNSAFE or (lines and character in _LINES):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


class SafeConsole(Console):
    """A console that prints text literally: no markup, no emoji codes, control characters escaped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text to render. Rich calls this for every string, also in table cells, before it measures the text."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments. This also escapes Text objects, which do not pass through `render_str`."""
        if isinstance(renderable, Text) and not renderable.plain.isprintable():
            renderable = _visible_text(renderable)
        return super().render(renderable, options)


def _visible_text(text: Text) -> Text:
    """Return a styled text with its control characters escaped and its styles kept."""
    shown, at = text.blank_copy(), 0
    for is_plain, run in groupby(text.plain, lambda character: visible(character) == character):
        length = len(list(run))
        if is_plain:
            shown.append_text(text[at : at + length])
        else:
            for place in range(at, at + length):
                part = Text(visible(text.plain[place]))
                for span in text[place].spans:
                    part.stylize(span.style)
                shown.append_text(part)
        at += length
    return shown
