"""The registry: skills by id, found in modules, files, folders and YAML."""

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from orchestrator.skills import (
    CommandSkill,
    FunctionSkill,
    HttpSkill,
    InvalidSkills,
    SkillConflict,
    SkillNotFound,
    SkillRegistry,
    skill,
)

SKILLS = """
from __future__ import annotations
from dataclasses import dataclass
from orchestrator.skills import skill

@dataclass
class Brief:
    style: str

@skill("audio.mix", version="3")
def mix(brief: Brief) -> Brief:
    return brief

also_mix = mix

@skill("audio.master")
async def master(): ...
"""


@skill("test.one")
def one() -> None: ...


@skill("test.one")
def impostor() -> None: ...


def test_skills_are_found_by_id() -> None:
    registry = SkillRegistry([one])
    registry.add(one)
    registry.add(FunctionSkill("test.two", lambda: None))
    assert registry.ids == ("test.one", "test.two")
    assert registry.get("test.one").id == "test.one"
    assert "test.one" in registry
    assert "test.three" not in registry
    assert len(registry) == len(list(registry)) == 2


def test_unknown_id_suggests_similar_ones() -> None:
    registry = SkillRegistry([FunctionSkill("audio.generate_bgm", lambda: None), one])
    with pytest.raises(SkillNotFound, match=r"did you mean audio\.generate_bgm\?") as caught:
        registry.get("audio.generate_bmg")
    assert caught.value.code == "SKILL_NOT_FOUND"
    with pytest.raises(SkillNotFound, match=r"unknown skill 'zzz'$"):
        registry.get("zzz")


def test_two_skills_with_one_id_are_refused() -> None:
    registry = SkillRegistry([one])
    with pytest.raises(SkillConflict, match=r"test\.one.*one.*impostor"):
        registry.add(impostor)
    assert registry.get("test.one").call(None, None) is None  # type: ignore[arg-type]


def test_what_is_no_skill_is_refused() -> None:
    with pytest.raises(TypeError, match="mark the function"):
        SkillRegistry([lambda: None])


class TestModules:
    def test_file(self, tmp_path: Path) -> None:
        (tmp_path / "my-skills.py").write_text(SKILLS)
        registry = SkillRegistry()
        registry.load_modules([str(tmp_path / "my-skills.py")])
        registry.load_modules([str(tmp_path / "." / "my-skills.py")])
        assert registry.ids == ("audio.master", "audio.mix")
        found = registry.get("audio.mix")
        assert found.version == "3"
        assert found.finish(found.prepare({"style": "folk"})) == {"style": "folk"}

    def test_folder_with_relative_imports(self, tmp_path: Path) -> None:
        folder = tmp_path / "studio"
        folder.mkdir()
        (folder / "__init__.py").write_text("from .audio import *\nfrom . import audio")
        (folder / "audio.py").write_text(SKILLS)
        registry = SkillRegistry()
        registry.load_modules([str(folder)])
        assert registry.ids == ("audio.master", "audio.mix")

    def test_module_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "named_skills_module.py").write_text(SKILLS)
        monkeypatch.syspath_prepend(tmp_path)
        registry = SkillRegistry()
        registry.load_modules(["named_skills_module"])
        assert registry.ids == ("audio.master", "audio.mix")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("import absent_module", "ModuleNotFoundError"),
            ("def", "SyntaxError"),
            ("1 / 0", "ZeroDivisionError"),
            ("import sys; sys.exit(0)", r"importing it called sys\.exit: SystemExit: 0"),
            ("raise SystemExit('no model')", "SystemExit: no model"),
            ("import argparse; argparse.ArgumentParser().parse_args(['--what'])", "SystemExit: 2"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("raise type('PanicException', (BaseException,), {})('unwrap')", "PanicException: unwrap"),
            (
                "class Odd(Exception):\n    def __str__(self): raise SystemExit(0)\nraise Odd",
                r"Odd: \(its message cannot be read\)",
            ),
            (
                "from orchestrator.skills import skill\n@skill('a b')\ndef f(): ...",
                r"ValueError: skill id 'a b' must be 1 to 255 letters",
            ),
        ],
    )
    def test_module_that_cannot_be_imported(self, tmp_path: Path, content: str, words: str) -> None:
        file = tmp_path / "broken.py"
        file.write_text(content)
        with pytest.raises(InvalidSkills, match=words) as caught:
            SkillRegistry().load_modules([str(file)])
        assert str(file) in caught.value.message
        file.write_text(SKILLS)  # put right, it loads
        registry = SkillRegistry()
        registry.load_modules([str(file)])
        assert len(registry) == 2

    def test_proxies_beside_skills_are_not_looked_into(self, tmp_path: Path) -> None:
        """As those of Flask, Werkzeug and Django, which know their object only during a request."""
        proxy = """
class Proxy:
    @property
    def __class__(self): raise RuntimeError("working outside of a request")
    def __getattr__(self, name): raise SystemExit(name)
request = Proxy()
"""
        (tmp_path / "web.py").write_text(SKILLS + proxy)
        registry = SkillRegistry()
        registry.load_modules([str(tmp_path / "web.py")])
        assert registry.ids == ("audio.master", "audio.mix")

    @pytest.mark.parametrize("source", ["absent_module", "/absent/file.py", "absent.py"])
    def test_absent_source(self, source: str) -> None:
        with pytest.raises(InvalidSkills, match="absent"):
            SkillRegistry().load_modules([source])

    def test_folder_without_files(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSkills, match=r"no skill found in the \.py files of this folder"):
            SkillRegistry().load_modules([str(tmp_path)])


class TestEntryPoints:
    def install(self, folder: Path, points: str) -> None:
        info = folder / "studio-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: studio\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[orchestrator.skills]\n{points}\n")
        (folder / "studio_entry.py").write_text(SKILLS + "\nnumber = 7\n")

    @pytest.fixture(autouse=True)
    def forget(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(tmp_path)
        yield
        sys.modules.pop("studio_entry", None)

    @pytest.mark.parametrize(
        ("points", "ids"),
        [
            ("all = studio_entry", ("audio.master", "audio.mix")),
            ("mix = studio_entry:mix", ("audio.mix",)),
        ],
    )
    def test_modules_and_functions(self, tmp_path: Path, points: str, ids: tuple[str, ...]) -> None:
        self.install(tmp_path, points)
        registry = SkillRegistry()
        registry.load_entry_points()
        assert registry.ids == ids

    def test_all_faults_are_listed(self, tmp_path: Path) -> None:
        (tmp_path / "studio_exits.py").write_text("import sys; sys.exit(0)")
        self.install(tmp_path, "a = absent_module\nb = studio_entry:number\nc = studio_entry\nd = studio_exits")
        with pytest.raises(InvalidSkills) as caught:
            SkillRegistry().load_entry_points()
        assert [fault.path for fault in caught.value.faults] == ["a", "b", "d"]


class TestDeclarations:
    def declared(self, folder: Path, content: str) -> SkillRegistry:
        (folder / "skills.yaml").write_text(dedent(content))
        registry = SkillRegistry()
        registry.load_declarations(folder / "skills.yaml")
        return registry

    def faults(self, folder: Path, content: str) -> dict[str, str]:
        with pytest.raises(InvalidSkills) as caught:
            self.declared(folder, content)
        assert str(folder / "skills.yaml") in caught.value.message
        return {fault.path: fault.message for fault in caught.value.faults}

    def test_both_kinds(self, tmp_path: Path) -> None:
        registry = self.declared(
            tmp_path,
            """
            skills:
              - skillId: image.upscale
                kind: http
                version: "2"
                url: http://127.0.0.1:9000/upscale
                headers: {X-Team: art}
              - skillId: video.transcode
                kind: command
                command: ["{folder}/transcode", --fast]
                env: {QUALITY: high}
                artifactTypes: {"*.mp4": video/mp4}
                retryableExitCodes: [75]
                graceMs: 100
            """,
        )
        assert registry.get("image.upscale") == HttpSkill(
            "image.upscale", "http://127.0.0.1:9000/upscale", "2", {"X-Team": "art"}
        )
        assert registry.get("video.transcode") == CommandSkill(
            "video.transcode",
            (f"{tmp_path}/transcode", "--fast"),
            "1",
            {"QUALITY": "high"},
            {"*.mp4": "video/mp4"},
            frozenset({75}),
            100,
        )

    def test_declarations_are_a_source_like_modules(self, tmp_path: Path) -> None:
        registry = self.declared(tmp_path, "skills: [{skillId: a, kind: http, url: 'http://h/'}]")
        registry.load_modules([str(tmp_path / "skills.yaml")])
        assert registry.ids == ("a",)

    def test_every_fault_is_reported_at_once(self, tmp_path: Path) -> None:
        found = self.faults(
            tmp_path,
            """
            extra: 1
            skills:
              - {skillId: "a b", kind: http, url: ftp://x, timeout: 3}
              - {skillId: ok, kind: command}
              - {skillId: ok, kind: ftp}
              - nothing
              - {skillId: twice, kind: command, command: [ls, 7], retryableExitCodes: [0]}
              - {skillId: v, version: 2, kind: http, url: "http://h/"}
              - {skillId: e, kind: command, command: [], env: {"A B": x}}
            """,
        )
        assert set(found) == {
            "extra",
            "skills[0].skillId",
            "skills[0].url",
            "skills[0].timeout",
            "skills[1].command",
            "skills[2].kind",
            "skills[3]",
            "skills[4].command[1]",
            "skills[4].retryableExitCodes[0]",
            "skills[5].version",
            "skills[6].command",
            "skills[6].env.A B",
        }
        assert found["skills[2].kind"] == "expected one of http, command, got 'ftp'"

    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ('headers: {X-Name: "Zoë"}', "the value of X-Name must be printable ASCII"),
            ('headers: {X-Name: "a\\r\\nX-Other: b"}', "on one line"),
            ('headers: {X-Name: "a\\0"}', "printable ASCII"),
            ('headers: {X-Name: " a"}', "without spaces around it"),
            ('headers: {"X Name": a}', "'X Name' is not a valid header name"),
            ('headers: {"X-Näme": a}', "is not a valid header name"),
            ('headers: {"": a}', "is not a valid header name"),
            ("headers: {X-A: a, x-a: b}", "x-a and X-A are the same header"),
            ("headers: {content-length: '3'}", "content-length is set by the orchestrator"),
            ("headers: {Idempotency-Key: mine}", "is set by the orchestrator"),
            ("headers: {X-Name: " + "a" * 9000 + "}", "has 9000 characters"),
            ("url: 'http://h:0/'", "has port 0"),
            ("url: 'http://h:99999/'", "is not a URL"),
            ("url: 'http://h:x/'", "is not a URL"),
            ("url: 'http://a b/'", "contains a space"),
            ("url: http:///path", "must be an absolute URL"),
            ("url: ftp://h/", "must be an absolute URL"),
            ("url: 'http://user:secret@h/'", "put credentials into a header"),
            ("url: 'http://[::1/'", "is not a URL"),
            ("url: 'http://h/#part'", "contains a fragment"),
            ("url: 'http://ü..de/'", "is not a URL"),
            ("method: GET", "Extra inputs are not permitted"),
            ("connectTimeoutMs: 99999999999", "less than or equal to 600000"),
        ],
    )
    def test_what_could_never_be_sent_is_refused_at_load(self, tmp_path: Path, field: str, message: str) -> None:
        url = "" if field.startswith("url") else ", url: 'http://h/'"
        found = self.faults(tmp_path, f"skills: [{{skillId: a, kind: http{url}, {field}}}]")
        (place, why), *others = found.items()
        assert others == []
        assert (place.startswith(f"skills[0].{field.split(':', maxsplit=1)[0]}"), message in why) == (True, True), found
        assert "secret" not in why

    @pytest.mark.parametrize(
        "url", ["http://h", "https://example.com:8443/a?b=c%20d", "http://[::1]:80/", "http://ü.de/"]
    )
    def test_urls_that_can_be_asked(self, tmp_path: Path, url: str) -> None:
        assert self.declared(tmp_path, f"skills: [{{skillId: a, kind: http, url: '{url}'}}]").ids == ("a",)

    def test_an_http_skill_made_in_python_is_checked_too(self) -> None:
        with pytest.raises(ValueError, match="the headers of a: the value of X-Name must be printable ASCII"):
            HttpSkill("a", "http://h/", headers={"X-Name": "ü"})
        with pytest.raises(ValueError, match="the url of a must be an absolute URL"):
            HttpSkill("a", "h/")

    def test_one_id_twice_in_a_file(self, tmp_path: Path) -> None:
        found = self.faults(
            tmp_path,
            "skills: [{skillId: a, kind: http, url: 'http://h/'}, {skillId: a, kind: http, url: 'http://i/'}]",
        )
        assert found == {"skills[1].skillId": "'a' is declared twice"}

    def test_one_id_twice_in_two_files(self, tmp_path: Path) -> None:
        registry = self.declared(tmp_path, "skills: [{skillId: a, kind: http, url: 'http://h/'}]")
        (tmp_path / "more.yaml").write_text("skills: [{skillId: a, kind: http, url: 'http://i/'}]")
        with pytest.raises(SkillConflict, match="'a'"):
            registry.load_declarations(tmp_path / "more.yaml")

    @pytest.mark.parametrize("content", ["[]", "skills:", "skills: []", "skills: {}", "7"])
    def test_file_without_skills(self, tmp_path: Path, content: str) -> None:
        assert "skills" in self.faults(tmp_path, content)

    def test_empty_file(self, tmp_path: Path) -> None:
        assert self.faults(tmp_path, "") == {"document": "is empty"}

    def test_a_field_given_twice(self, tmp_path: Path) -> None:
        found = self.faults(tmp_path, "skills: [{skillId: a, kind: http, url: 'http://h/', url: 'http://i/'}]")
        assert found == {"skills[0].url": "duplicate key, on lines 1 and 1"}

    @pytest.mark.parametrize("content", ["skills: [", "a: b: c", "\0"])
    def test_file_that_is_no_yaml(self, tmp_path: Path, content: str) -> None:
        (place,) = self.faults(tmp_path, content)
        assert place.startswith("line ") or place == "document"

    def test_numbers_that_not_every_parser_reads_alike_are_faults_with_line_and_fix(self, tmp_path: Path) -> None:
        found = self.faults(
            tmp_path,
            """
            skills:
              - skillId: a
                kind: command
                command: [ls]
                graceMs: 010
                maxStdoutBytes: 1_000
                env: {ON: x}
            """,
        )
        assert found["skills[0].graceMs"].startswith("010 is 8 in YAML 1.1 but not elsewhere; write 8")
        assert "(line 6, column 14)" in found["skills[0].graceMs"]
        assert "write 1000" in found["skills[0].maxStdoutBytes"]
        assert "key ON on line 8" in found["skills[0].env"]

    def test_absent_file(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSkills, match="cannot be read"):
            SkillRegistry().load_declarations(tmp_path / "absent.yaml")
