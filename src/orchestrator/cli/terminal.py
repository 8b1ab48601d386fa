"""What goes to stdout: JSON for machines, or tables for people."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.answers import answers
from orchestrator.cli.blocks import natural_width, print_blocks

_WIDE = 200  # columns where nobody looks, so that nothing is cut

_STYLES = {
    "queued": "dim",
    "pending": "dim",
    "running": "blue",
    "blocked": "yellow",
    "completed": "green",
    "skipped": "cyan",
    "failed": "red",
    "cancelled": "magenta",
    "live": "green",
    "stopped": "red",
}


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr."""
    stream = sys.stderr if stderr else answers()
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)


def print_json(value: Any) -> None:
    """Print a document as JSON, indented for a person, on one line for a program."""
    option = orjson.OPT_INDENT_2 if answers().isatty() else 0
    print_line(orjson.dumps(value, option=option).decode())


def print_line(line: str) -> None:
    """Print a line on stdout at once, whoever reads it."""
    stream = answers()
    stream.write(line + "\n")
    stream.flush()


def ask_line(question: str) -> str:
    """Ask a question on the terminal and return the answer without the spaces around it."""
    stream = answers()
    stream.write(question)
    stream.flush()
    return input().strip()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Text | str]], *, empty: str = "nothing") -> None:
    """Print rows under headings; without rows say `empty`. Where a row does not fit on a line it becomes a block."""
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
    """Return a status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def duration(milliseconds: float | None) -> str:
    """Return a duration in the unit that fits: `12 ms`, `1.24 s`, `3 min 20 s`; nothing for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_995:
        return f"{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s"


def between(started: str | None, ended: str | None) -> float | None:
    """Return the milliseconds between two RFC 3339 times, None while one of them is missing."""
    if started is None or ended is None:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds() * 1000


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits; nothing for an unknown one (below zero)."""
    if count < 0:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
