"""Print to stdout and stderr: JSON for programs, tables and lines for people."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output.answers import answers, real_stream
from orchestrator.cli.output.blocks import natural_width, print_blocks
from orchestrator.cli.output.visible import SafeConsole, visible, visible_json

_WIDE = 10_000

_STYLES = {
    "queued": "dim",
    "pending": "dim",
    "running": "blue",
    "blocked": "yellow",
    "completed": "green",
    "skipped": "cyan",
    "omitted": "dim",
    "failed": "red",
    "cancelled": "magenta",
    "live": "green",
    "stopped": "red",
}


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr."""
    stream = real_stream(sys.stderr) if stderr else answers()
    return SafeConsole(file=stream, width=None if stream.isatty() else _WIDE)


def print_json(value: Any) -> None:
    """Print a document as JSON: indented on a terminal, otherwise on one line."""
    stream = answers()
    on_terminal = stream.isatty()
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if on_terminal else 0).decode()
    stream.write((visible_json(text) if on_terminal else text) + "\n")
    stream.flush()


def print_line(line: str) -> None:
    """Print a line on stdout and flush it."""
    stream = answers()
    stream.write(visible(line) + "\n")
    stream.flush()


def ask_line(question: str) -> str:
    """Ask a question on the terminal and return the answer, stripped."""
    stream = answers()
    stream.write(question)
    stream.flush()
    return input().strip()


def print_error(line: str) -> None:
    """Print a line on stderr and flush it."""
    stream = real_stream(sys.stderr)
    stream.write(visible(line) + "\n")
    stream.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Text | str]], *, empty: str = "nothing") -> None:
    """Print rows under headings, or `empty` if there are none. If a row does not fit, print rows as blocks."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if numeric else "left", overflow="fold")
    listed = list(rows)
    for row in listed:
        table.add_row(*row)
    console = open_console()
    width = natural_width(console, table)
    if not listed:
        console.print(empty)
    elif width <= console.width or not console.is_terminal:
        console.print(table, width=max(width, 1))
    else:
        print_blocks(console, [column.removeprefix(">") for column in columns], listed)


def styled(status: str) -> Text:
    """Return a status in its color."""
    return Text(status, style=_STYLES.get(status, ""))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `2,000 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(milliseconds: float | None) -> str:
    """Return a duration in a suitable unit: `12 ms`, `1.24 s`, `3 min 20 s`; an empty string for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_995:
        return f"{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s"


def between(started: str | None, ended: str | None) -> float | None:
    """Return the milliseconds between two RFC 3339 times, or None if one is missing."""
    if started is None or ended is None:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds() * 1000


def size(count: int) -> str:
    """Return a number of bytes in a suitable unit, or an empty string if it is unknown (negative)."""
    if count < 0:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
