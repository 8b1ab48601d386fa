"""Rows and facts on a narrow terminal. They are wrapped between words, so that ids and paths are never broken."""

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.text import Text

_UNLIMITED = 1_000_000
_INDENT = "  "


def natural_width(console: Console, shown: RenderableType) -> int:
    """Return how many columns a table or a tree needs without wrapping."""
    return Measurement.get(console, console.options.update(max_width=_UNLIMITED), shown).maximum


def print_blocks(console: Console, headings: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> None:
    """Print each row as a block: its first cell, then the others with their headings, as many per line as fit."""
    for row in rows:
        line = _as_text(row[0])
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            value = _as_text(cell)
            if not value.plain.strip():
                continue
            item = Text.assemble((f"{heading} " if heading else "", "dim"), value)
            if line.cell_len + 2 + item.cell_len <= console.width and "\n" not in item.plain:
                line.append("  ").append_text(item)
                continue
            _print(console, line)
            parts = list(wrapped(item, console.width - len(_INDENT)))
            for part in parts[:-1]:
                _print(console, Text(_INDENT).append_text(part))
            line = Text(_INDENT).append_text(parts[-1])
        _print(console, line)


def print_facts(console: Console, facts: Mapping[str, str | Text]) -> None:
    """Print facts that have a value, one below the other."""
    known = {name: _as_text(value) for name, value in facts.items() if value}
    margin = max((cell_len(name) for name in known), default=0) + 2
    for name, value in known.items():
        room = console.width - margin
        longest = max((cell_len(word) for word in value.plain.split()), default=0)
        label = Text(name.ljust(margin), style="dim")
        if longest > room:  # it would be broken next to its name
            _print(console, label)
            label, margin_of_value = Text(_INDENT), len(_INDENT)
            room = console.width - margin_of_value
        else:
            margin_of_value = margin
        for part in wrapped(value, room):
            _print(console, label.append_text(part))
            label = Text(" " * margin_of_value)


def wrapped(text: Text, width: int) -> Iterable[Text]:
    """Yield the lines of a text, wrapped between words. A word that is wider than a line gets its own line."""
    for line in text.split("\n", allow_blank=True):
        if line.cell_len <= width:
            yield line
            continue
        begin, end = 0, 0
        for start, stop in _words(line.plain):
            if end > begin and cell_len(line.plain[begin:stop]) > width:
                yield line[begin:end]
                begin = start
            end = stop
        yield line[begin:end]


def _words(text: str) -> Iterable[tuple[int, int]]:
    """Yield the start and the end of each word of a text."""
    place = 0
    for word in text.split():
        start = text.index(word, place)
        place = start + len(word)
        yield start, place


def _as_text(cell: Text | str) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(cell)


def _print(console: Console, line: Text) -> None:
    line.rstrip()
    console.print(line, soft_wrap=True)
