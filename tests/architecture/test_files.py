"""Files are short, named after what they hold, and finished."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, files, shown

MAX_LINES = 400
VAGUE = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "base", "misc", "tools"}
# Written so that this file does not name them itself.
UNFINISHED = re.compile(r"\b(T[O]DO|FIX[M]E|X[X]X|NotImplement[e]dError)\b|pragma: n[o] cover|monkeypatch\.s[e]tattr")


def faults_of_name(path: Path) -> list[str]:
    return [part for part in (*path.parts[:-1], path.stem) if part in VAGUE]


def test_no_file_is_longer_than_people_read() -> None:
    code = [*files(), *files(suffix=".sql")]
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_name_could_mean_anything() -> None:
    assert [shown(path) for path in files() if faults_of_name(path.relative_to(ROOT))] == []


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_sql_stands_beside_the_module_that_uses_it() -> None:
    beside = [path for path in files("src", suffix=".sql") if path.parent.name != "migrations"]
    assert beside
    assert [shown(path) for path in beside if not path.with_suffix(".py").is_file()] == []


def classes_with_one_name(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Return the public classes that have their name in common with another one, and where they are."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    return {name: found for name, found in places.items() if len(found) > 1}


def test_every_public_class_has_a_name_of_its_own() -> None:
    """The client mirrors the names of the API, so it is left out."""
    paths = [path for path in files("src") if "client" not in path.parts]
    assert classes_with_one_name(paths) == {}


def test_a_second_class_of_the_same_name_is_found(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("class Run: ...\nclass _Own: ...\n")
    assert set(classes_with_one_name(sorted(tmp_path.iterdir()))) == {"Run"}


@pytest.mark.parametrize("name", ["src/common/x.py", "src/orchestrator/utils.py", "tests/helpers.py"])
def test_a_vague_name_is_found(name: str) -> None:
    assert faults_of_name(Path(name))


@pytest.mark.parametrize(
    "line", ["# TO" + "DO: later", "raise NotImplemented" + "Error", "x()  # pragma: no" + " cover"]
)
def test_unfinished_work_is_found(line: str) -> None:
    assert UNFINISHED.search(line)
