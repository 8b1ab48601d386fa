"""Modules of skills are imported again, or are what they were."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.skills.reimport import imported_below, reimporting, roots_of
from orchestrator.skills.sources import load_module


@pytest.fixture(autouse=True)
def imports(tmp_path: Path) -> Iterator[None]:
    """Leave what can be imported, and what is, as it was."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in imported_below([tmp_path]):
        del sys.modules[name]


def test_edited_modules_and_their_neighbours_are_new(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_one.py").write_text("WORD = 1\n")
    file = tmp_path / "one.py"
    file.write_text("from neighbour_of_one import WORD\n")
    roots = roots_of([str(file)])
    assert load_module(str(file)).WORD == 1

    (tmp_path / "neighbour_of_one.py").write_text("WORD = 22\n")
    assert load_module(str(file)).WORD == 1
    with reimporting(roots):
        assert load_module(str(file)).WORD == 22


def test_after_a_failure_the_modules_of_before_are_back(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("WORD = 1\n")
    before = load_module(str(file))
    file.write_text("WORD = = 2\n")
    with pytest.raises(SyntaxError), reimporting(roots_of([str(file)])):
        exec(compile(file.read_text(), str(file), "exec"))
    assert load_module(str(file)) is before
    assert before in imported_below([tmp_path]).values()


def test_what_is_installed_is_left_alone(tmp_path: Path) -> None:
    assert roots_of(["yaml", "no.such.module", str(tmp_path / "absent.py")]) == []
    assert imported_below([Path(sys.prefix), Path("/")]).keys().isdisjoint({"orchestrator", "yaml", "pytest"})
