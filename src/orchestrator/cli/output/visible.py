"""Text from elsewhere on a terminal: shown, never obeyed.

Names, labels, descriptions and errors come from payloads, skills and servers. A terminal obeys some characters in them:
it moves, hides and colours text, sets its title, writes the clipboard, or turns the direction of what follows. Those
are written as escapes (backslash, x1b), whether the text goes to a terminal, a pipe or a file. What this program draws
itself stays.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# Controls, what has no width of its own or changes the direction, lone surrogates, other line ends.
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINES = frozenset("\n\t")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def visible(text: str, *, lines: bool = True) -> str:
    """Return a text in which nothing is left that a terminal would obey; with `lines`, line ends and tabs stay."""
    if text.isprintable():  # as nearly all is
        return text
    return "".join(_shown(character, lines) for character in text)


def visible_json(text: str) -> str:
    """Return a JSON text that says the same, in which a terminal finds nothing to obey."""
    return _BEYOND_ASCII.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _OBEYED:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _shown(character: str, lines: bool) -> str:
    if unicodedata.category(character) not in _OBEYED or (lines and character in _LINES):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


class SafeConsole(Console):
    """A console on which data is only data: no markup, no emoji codes, nothing that a terminal obeys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to draw; called for every string, also in the cells of tables, before room is made for it."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is drawn; what came here in another way than as a string is looked at, too."""
        if isinstance(renderable, Text) and not renderable.plain.isprintable():
            renderable = _visible_text(renderable)
        return super().render(renderable, options)


def _visible_text(text: Text) -> Text:
    """Return a styled text in which nothing is left to obey; the styles stay where they are."""
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
