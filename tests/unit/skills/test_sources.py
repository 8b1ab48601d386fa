"""What a source of skills may look like: no skill is passed over in silence."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from orchestrator.skills import InvalidSkills, SkillRegistry

WRITTEN_WRONG = {
    "bare": "@skill\ndef _greet(): ...",
    "no_id": "skill()(lambda: None)",
    "method": "class Studio:\n    @skill('a')\n    def greet(self, input): ...",
    "generator": "@skill('a')\ndef greet(): yield 1",
    "nothing": "def greet(): ...",
    "empty": "",
}


@pytest.fixture(autouse=True)
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave what can be imported, and what is, as it was."""
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def write(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"from orchestrator import skill\n{dedent(content)}\n", encoding="utf-8")
    return file


def ids(*sources: str | Path) -> tuple[str, ...]:
    registry = SkillRegistry()
    registry.load_modules(map(str, sources))
    return registry.ids


@pytest.mark.parametrize(
    "content",
    [
        "def make(name):\n    @skill(name)\n    def made(): ...\nmake('a')\nmake('b')",
        "for name in 'ab':\n    @skill(name)\n    def made(): ...",
        "@skill('a')\ndef same(): ...\n@skill('b')\ndef same(): ...",
        "class Studio:\n    @staticmethod\n    @skill('a')\n    def f(): ...\n    @skill('b')\n    def g(input): ...",
        "known = {name: skill(name)(lambda: None) for name in 'ab'}",
        "def plain(): ...\nskill('a')(plain)\nskill('b')(plain)",
        "@skill('a')\ndef one(): ...\n@skill('b')\ndef two(): ...\ndel one, two",
    ],
    ids=["helper", "loop", "overwritten", "class", "dict", "two_ids", "deleted"],
)
def test_skills_that_the_module_does_not_hold_by_name(content: str, tmp_path: Path) -> None:
    assert ids(write(tmp_path / "studio.py", content)) == ("a", "b")


def test_without_an_id_a_skill_has_the_name_of_its_function(tmp_path: Path) -> None:
    file = write(
        tmp_path / "bare.py", "@skill\ndef a(): ...\n@skill()\ndef b(): ...\n@skill(version='2')\ndef c(): ..."
    )
    registry = SkillRegistry()
    registry.load_modules([str(file)])
    assert [(one.id, one.version) for one in registry] == [("a", "1"), ("b", "1"), ("c", "2")]


def test_a_helper_makes_skills_for_whoever_calls_it(tmp_path: Path) -> None:
    write(tmp_path / "makers.py", "def make(name):\n    @skill(name)\n    def made(): ...\nmake('of.the.makers')")
    one = write(tmp_path / "one.py", "from makers import make\nmake('one')")
    two = write(tmp_path / "two.py", "import makers\nmakers.make('two')")
    assert ids(one) == ("one",)
    assert ids(two) == ("two",)
    assert ids("makers") == ("of.the.makers",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bare", r"the name '_greet' cannot be the id of a skill: give one"),
        ("no_id", r"the name '<lambda>' cannot be the id of a skill: give one"),
        ("method", r"Studio\.greet cannot be a skill: it is a method"),
        ("generator", "is a generator"),
        ("nothing", "no skill found"),
        ("empty", "no skill found"),
    ],
)
def test_a_skill_that_is_written_wrong_is_a_fault(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSkills, match=words):
        ids(write(tmp_path / f"{name}.py", WRITTEN_WRONG[name]))


def test_a_package_whose_modules_are_not_imported_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "studio" / "audio.py", "@skill('a')\ndef mix(): ...")
    package = write(tmp_path / "studio" / "__init__.py", "").parent
    for source in (package, "studio"):
        with pytest.raises(InvalidSkills, match=r"The __init__\.py of a package must import"):
            ids(source)


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "studio" / "audio.py", "from chords import NAME\nskill(NAME)(lambda: None)").parent
    write(folder / "chords.py", "NAME = 'a'")
    write(folder / "video.py", "@skill\ndef b(): ...")
    write(folder / "test_audio.py", "raise AssertionError('a test')")
    write(folder / "_private.py", "raise AssertionError('private')")
    (folder / "services.yaml").write_text("skills:\n  - {skillId: c, kind: http, url: 'http://127.0.0.1:9/'}\n")
    (folder / "flow.yaml").write_text("workflowName: flow\n")
    assert ids(folder) == ("a", "b", "c")


def test_a_folder_without_skills_is_a_fault(tmp_path: Path) -> None:
    folder = write(tmp_path / "studio" / "chords.py", "NAME = 'a'").parent
    with pytest.raises(InvalidSkills, match=r"no skill found in the \.py files of this folder"):
        ids(folder)


def test_what_lies_beside_a_file_can_be_imported(tmp_path: Path) -> None:
    write(tmp_path / "far" / "chords.py", "MAJOR = 'major'")
    write(
        tmp_path / "far" / "tunes.py",
        """
        from chords import MAJOR
        @skill(MAJOR)
        def play():
            import scales  # when it is called
            return {"scale": scales.NAME}
        """,
    )
    write(tmp_path / "far" / "scales.py", "NAME = 'c'")
    registry = SkillRegistry()
    registry.load_modules([str(tmp_path / "far" / "tunes.py")])
    assert registry.get("major").call(None, None) == {"scale": "c"}  # type: ignore[arg-type]


def test_modules_of_one_name_in_two_folders_do_not_collide(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        write(folder / "words.py", f"NAME = '{name}'\ndef late():\n    import deep.er\n    return deep.er.NAME")
        write(folder / "deep" / "__init__.py", "")
        write(folder / "deep" / "er.py", f"from words import NAME as FOUND\nNAME = 'deep ' + FOUND + ' {name}'")
        write(folder / "through.py", "from words import NAME, late")  # a neighbour that imports another
        write(
            folder / "skills.py",
            """
            import through
            import words
            from deep import er
            @skill(words.NAME)
            def play():
                from words import late  # when it is called
                return [through.NAME, late(), er.NAME, through.late()]
            """,
        )
    registry = SkillRegistry()
    registry.load_modules([str(tmp_path / name / "skills.py") for name in ("one", "two")])
    for name in ("one", "two"):
        deep = f"deep {name} {name}"
        assert registry.get(name).call(None, None) == [name, deep, deep, deep]  # type: ignore[arg-type]


def test_a_module_of_the_current_folder_is_not_that_of_another(tmp_path: Path) -> None:
    write(tmp_path / "words.py", "NAME = 'here'\nskill(NAME)(lambda: None)")
    write(tmp_path / "far" / "words.py", "NAME = 'far'")
    file = write(tmp_path / "far" / "skills.py", "from words import NAME\nskill(NAME)(lambda: None)")
    assert ids("words", file) == ("far", "here")


def test_what_lies_beside_a_package_can_be_imported(tmp_path: Path) -> None:
    write(tmp_path / "far" / "house.py", "NAME = 'a'")
    package = write(
        tmp_path / "far" / "band" / "__init__.py",
        "from house import NAME\nfrom band.drums import hit\nskill(NAME)(lambda: None)",
    )
    write(tmp_path / "far" / "band" / "drums.py", "@skill('hit')\ndef hit(): ...")
    assert ids(package.parent) == ("a", "hit")


def test_modules_are_looked_for_in_the_current_folder(tmp_path: Path) -> None:
    write(tmp_path / "band" / "__init__.py", "from band import drums")
    write(tmp_path / "band" / "drums.py", "@skill('hit')\ndef hit(): ...")
    assert ids("band.drums") == ("hit",)


def test_a_neighbour_does_not_take_the_place_of_what_is_installed(tmp_path: Path) -> None:
    write(tmp_path / "yaml.py", "raise SystemExit('the wrong one')")
    assert ids(write(tmp_path / "mine.py", "import yaml\nyaml.safe_load('a: 1')\nskill('a')(lambda: None)")) == ("a",)
