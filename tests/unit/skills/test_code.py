"""The fingerprint of a skill's code: what changes it, and what does not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.skills import skill
from orchestrator.skills.code import codes_of
from orchestrator.skills.command import CommandSkill
from orchestrator.skills.http import HttpSkill
from orchestrator.skills.skill import FunctionSkill, skill_of


@skill("test.here")
def here(given: dict[str, Any]) -> dict[str, Any]:
    return given


@skill("test.beside")
def beside(given: dict[str, Any]) -> dict[str, Any]:
    return given


def made(source: str) -> FunctionSkill:
    """Make a skill of a function that is in no file."""
    names: dict[str, Any] = {}
    exec(source, names)
    return FunctionSkill("test.nowhere", names["nowhere"])


def test_skills_of_one_file_have_one_code() -> None:
    found = [skill_of(function) for function in (here, beside)]
    codes = codes_of([one for one in found if one is not None])
    assert set(codes) == {"test.here", "test.beside"}
    assert codes["test.here"] == codes["test.beside"]
    assert len(codes["test.here"]) == 12


def test_a_command_is_its_words_and_the_content_of_its_files(tmp_path: Path) -> None:
    def code(*command: str) -> str:
        return codes_of([CommandSkill("test.run", command)])["test.run"]

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.py").write_text("print(1)")
    first = code("python3", str(tmp_path / "a" / "run.py"), "--fast")
    assert code("python3", str(tmp_path / "b" / "run.py"), "--fast") == first, "the same on another machine"
    assert code("python3", str(tmp_path / "a" / "run.py"), "--slow") != first
    (tmp_path / "a" / "run.py").write_text("print(2)")
    assert code("python3", str(tmp_path / "a" / "run.py"), "--fast") != first
    assert code("python3", str(tmp_path / "gone.py")) != code("python3", str(tmp_path / "lost.py"))
    assert code("x\udc80")


def test_what_has_no_source_has_no_code() -> None:
    other = cast("Any", SimpleNamespace(id="test.other", version="1"))
    assert codes_of([HttpSkill("test.far", "http://127.0.0.1/"), made("def nowhere(): return {}"), other]) == {}
