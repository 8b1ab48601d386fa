"""What goes to stdout and stderr: JSON for machines, or tables and lines for people."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.visible import SafeConsole, visible, visible_json

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
    stream = sys.stderr if stderr else sys.stdout
    return SafeConsole(file=stream, width=None if stream.isatty() else _WIDE)


def print_json(value: Any) -> None:
    """Print a document as JSON, indented for a person, on one line for a program."""
    on_terminal = sys.stdout.isatty()
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if on_terminal else 0).decode()
    sys.stdout.write((visible_json(text) if on_terminal else text) + "\n")
    sys.stdout.flush()


def print_line(line: str) -> None:
    """Print a line on stdout at once, whoever reads it."""
    sys.stdout.write(visible(line) + "\n")
    sys.stdout.flush()


def print_error(line: str) -> None:
    """Print a line on stderr at once."""
    sys.stderr.write(visible(line) + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Text | str]], *, empty: str = "nothing") -> None:
    """Print rows under headings; without rows say `empty`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = open_console()
    if table.row_count:
        console.print(table)
    else:
        console.print(empty)


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
