"""Tests wait for what they can see, not for a time: see docs/testing.md. Where a sleep stays, it says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, files, shown

REASONS = ("the time itself is the subject", "nothing tells when")
REASON = REASONS[0]
# The simulation's loop has a time of its own. The seeds of storms and of the soak decide when something breaks. The
# fixtures of the acceptance tests are skills, loaded by processes that know nothing of the tests.
OWN_TIME = ("tests/simulation/", "tests/chaos/", "tests/soak/", "tests/acceptance/fixtures/")
WAITING = "tests/waiting.py"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def sleeps(text: str) -> list[int]:
    """The lines with a sleep that gives no reason, is more than a turn of the loop and not what a skill does."""
    lines = text.splitlines()
    found = []
    for call in _calls(ast.parse(text)):
        turn = [ast.unparse(one) for one in call.args] == ["0"]
        above = lines[call.lineno - 2] if call.lineno > 1 else ""
        near = [above] * above.lstrip().startswith("#") + lines[call.lineno - 1 : call.end_lineno]
        if not turn and not any(f"# {reason}" in line for line in near for reason in REASONS):
            found.append(call.lineno)
    return found


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of something named sleep, but for those in functions that are decorated as skills."""
    if isinstance(node, FunctionNode) and any(_is_skill(one) for one in node.decorator_list):
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep":
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)


def _is_skill(decorator: ast.expr) -> bool:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator) == "skill"


def listed() -> list[Path]:
    return [path for path in files("tests") if not shown(path).startswith(OWN_TIME) and shown(path) != WAITING]


def test_no_test_sleeps_but_where_the_time_itself_is_the_subject() -> None:
    assert all((ROOT / name).exists() for name in (*OWN_TIME, WAITING))
    found = [f"{shown(path)}:{line}" for path in listed() for line in sleeps(path.read_text(encoding="utf-8"))]
    assert found == [], "wait with tests/waiting.py for what can be seen, or give one of REASONS in a comment"


@pytest.mark.parametrize(
    "text",
    [
        "def test_it():\n    time.sleep(1)",
        "async def test_it():\n    await asyncio.sleep(0.01)",
        "def test_it():\n    while not ready():\n        sleep(pause)",
        "async def test_it():\n    def skill():\n        time.sleep(0.1)",
        "@pytest.mark.parametrize('skill', 'ab')\ndef test_it(skill):\n    time.sleep(0.1)",
        f"def test_it():\n    other()  # {REASON}\n    time.sleep(1)",
    ],
)
def test_a_sleep_is_found(text: str) -> None:
    assert sleeps(text)


@pytest.mark.parametrize(
    "text",
    [
        "async def test_it():\n    await asyncio.sleep(0)",
        "@skill('test.slow')\nasync def slow(given):\n    await asyncio.sleep(given['seconds'])",
        f"def test_it():\n    time.sleep(1)  # {REASON}: a lease",
        f"def test_it():\n    # {REASON}: nothing happens meanwhile\n    time.sleep(1)",
        f"def test_it():\n    time.sleep(1)  # {REASONS[1]}: they wait",
        "SKILL = 'time.sleep(1)'",
    ],
)
def test_these_are_none(text: str) -> None:
    assert sleeps(text) == []
