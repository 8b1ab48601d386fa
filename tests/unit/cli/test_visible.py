"""What a terminal would obey is shown; what people write stays as it is."""

import json
import logging
from io import StringIO
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.logging import _as_text
from orchestrator.cli.output.visible import SafeConsole, visible, visible_json

SHOWN = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "\x1b]8;;http://evil\x1b\\click": r"\x1b]8;;http://evil\x1b\click",
    "\x1b]52;c;cm0gLXJm\x07": r"\x1b]52;c;cm0gLXJm\x07",
    "\x9b31m": r"\x9b31m",
    "safe\rEVIL": r"safe\rEVIL",
    "a\x08\x7f": r"a\x08\x7f",
    "\x00": r"\x00",
    "\u202egpj.exe": r"\u202egpj.exe",
    "\u2066\u200b\ufeff\u00ad": r"\u2066\u200b\ufeff\xad",
    "\u2028\u2029": r"\u2028\u2029",
    "\U000e0041": r"\U000e0041",
    "\ud800": r"\ud800",
    "[bold]x[/bold] [/] :smile:": "[bold]x[/bold] [/] :smile:",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=repr)
def test_what_would_be_obeyed_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["Zoë läuft", "日本語 テスト", "😀 ✔", "a\u00a0b", "Ελλάδα", "שלום", "é"])
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) is text or visible(text) == text


def test_lines_stay_where_they_are_wanted() -> None:
    assert visible("a\n\tb") == "a\n\tb"
    assert visible("a\n\tb", lines=False) == r"a\n\tb"


def drawn(*things: Any, terminal: bool = False) -> str:
    out = StringIO()
    SafeConsole(file=out, width=200, force_terminal=terminal, color_system=None).print(*things)
    return out.getvalue()


def table(cell: Any) -> Table:
    made = Table(box=None)
    made.add_column("one")
    made.add_row(cell)
    return made


def tree(label: Any) -> Tree:
    made = Tree("root")
    made.add(label)
    return made


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("make", [str, Text, table, tree, lambda text: table(Text(text, "red"))])
@pytest.mark.parametrize("text", SHOWN, ids=repr)
def test_however_it_is_drawn_nothing_is_left_to_obey(text: str, make: Any, terminal: bool) -> None:
    said = drawn(make(text), terminal=terminal)
    assert visible(said) == said
    assert said.isprintable() or set(said) & {"\n"}


@pytest.mark.parametrize("text", SHOWN, ids=repr)
def test_a_string_in_a_table_is_shown_whole(text: str) -> None:
    assert SHOWN[text] in drawn(table(text))


def test_styles_stay_where_they_are() -> None:
    out = StringIO()
    console = SafeConsole(file=out, force_terminal=True, color_system="standard")
    console.print(Text.assemble(("a\x1b", "red"), "b"))
    assert out.getvalue().replace("\x1b[0m\x1b[31m", "") == "\x1b[31ma\\x1b\x1b[0mb\n"


@given(st.text())
def test_any_text_is_drawn_without_anything_to_obey(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    said = drawn(text)
    assert visible(said) == said


@given(st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_on_a_terminal_says_the_same(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    shown = visible_json(written)
    assert json.loads(shown) == value
    assert visible(shown, lines=False) == shown


def log_line(message: str, **fields: Any) -> str:
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_as_text(colors=False, whole=True)]
    )
    record = logging.makeLogRecord(
        {
            "msg": {"event": message, "level": "info", **fields},
            "levelname": "INFO",
            "_from_structlog": True,
            "_logger": None,
            "_name": "info",
        }
    )
    return formatter.format(record)


def test_a_log_line_for_people_is_one_line_and_obeyed_by_no_terminal() -> None:
    line = log_line("it failed\n2026-01-01 [info] all is well\x1b[2J", error="\u202e\x9b", seen=["\x07"])
    assert visible(line, lines=False) == line
    assert r"it failed\n2026-01-01" in line
    assert r"\u202e\x9b" in line


def test_a_traceback_in_the_log_keeps_its_lines() -> None:
    try:
        int("bad\x1b[31m value")
    except ValueError as error:
        line = log_line("it broke", exc_info=error)
    assert "Traceback (most recent call last):\n" in line
    assert r"'bad\x1b[31m value'" in line
