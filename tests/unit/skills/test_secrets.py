"""Secrets: where they are looked for, what cannot be used, and when they are read again."""

import logging
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.output import Artifact, Output
from orchestrator.skills import CommandSkill, HttpSkill, SkillError, StepContext, to_step_error
from orchestrator.skills.declared_secrets import check_secrets
from orchestrator.skills.errors import MissingSecrets
from orchestrator.skills.leaks import checked_output
from orchestrator.skills.secrets import MAX_SECRET_BYTES, SecretNotFound, Secrets, mask

PROVIDERS = """
import time

class Good:
    def get(self, name):
        return {"ONLY_HERE": "a value of the provider", "BOTH": "not this one"}.get(name)

class Bad:
    def get(self, name):
        if name == "NUMBER":
            return 7
        if name == "FAILS":
            raise ConnectionError("no\\nvault")
        return None

class Unable:
    def __init__(self):
        raise ValueError("no address")

class Empty:
    pass
"""


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packages with providers, as an installer leaves them in a folder."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "studio_vaults.py").write_text(PROVIDERS)
    about = folder / "studio_vaults-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: studio-vaults\nVersion: 1\n")
    points = {"a_bad": "Bad", "b_unable": "Unable", "c_empty": "Empty", "d_good": "Good"}
    lines = [f"{name} = studio_vaults:{kind}" for name, kind in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[orchestrator.secrets]", *lines, ""]))
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("studio_vaults", None)


def refusal(secrets: Secrets, name: str) -> str:
    with pytest.raises(SecretNotFound) as caught:
        secrets.get(name)
    assert (caught.value.code, caught.value.details) == ("SECRET_NOT_FOUND", {"secret": name[:80]})
    return caught.value.message


def test_the_environment_comes_before_files(folder: Path) -> None:
    (folder / "BOTH").write_text("from the file")
    (folder / "FILE").write_text("only in the file\n")
    secrets = Secrets({"BOTH": "from the variable", "FILE": ""}, folder)
    assert secrets.get("BOTH") == "from the variable"
    assert secrets.get("FILE") == "only in the file"


@pytest.mark.usefixtures("providers")
def test_providers_come_last_and_a_failing_one_hides_no_other(folder: Path) -> None:
    secrets = Secrets({"BOTH": "from the variable"}, folder)
    assert secrets.get("BOTH") == "from the variable"
    assert secrets.get("ONLY_HERE") == "a value of the provider"
    assert mask("a value of the provider") == "***"
    places = "provider b_unable (cannot be loaded: ValueError: no address), "
    places += "provider c_empty (studio_vaults:Empty has no method get) and provider d_good"
    assert refusal(secrets, "FAILS").endswith(f"provider a_bad (failed: ConnectionError: no vault), {places}")
    assert "provider a_bad (returned int, not str)" in refusal(secrets, "NUMBER")


def test_a_secret_that_nobody_has_names_each_place(folder: Path) -> None:
    looked = f"the variable ORCHESTRATOR_SECRET_NONE and the file {folder}/NONE"
    assert refusal(Secrets({}, folder), "NONE") == f"secret NONE was not found; looked for {looked}"
    (folder / "NONE").write_text("\n")
    assert refusal(Secrets({}, folder), "NONE").endswith(looked), "an empty file counts as none"


@pytest.mark.parametrize("name", ["", "a b", "../x", "..", ".hidden", "-x", "a/b", "ä", "x" * 129])
def test_invalid_names_are_refused(folder: Path, name: str) -> None:
    assert "has an invalid name: it must be 1 to 128 letters" in refusal(Secrets({name: "a value"}, folder), name)


@pytest.mark.parametrize("content", ["one line", "one line\n", "one line\r\n"])
def test_one_line_end_is_removed(folder: Path, content: str) -> None:
    (folder / "LINE").write_bytes(content.encode())
    assert Secrets({}, folder).get("LINE") == "one line"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"x" * (MAX_SECRET_BYTES + 1), "has more than 65536 bytes"),
        (b"x" * (1 << 20), "has more than 65536 bytes"),
        (b"\xff\xfe and more", "is not UTF-8 text"),
        (b"before\0after", "contains a NUL character"),
    ],
)
def test_values_that_cannot_be_used(folder: Path, content: bytes, fault: str) -> None:
    (folder / "ODD").write_bytes(content)
    assert refusal(Secrets({}, folder), "ODD") == f"secret ODD cannot be used: the file {folder / 'ODD'} {fault}"
    if b"\0" not in content:  # which no variable can hold
        given = os.fsdecode(content)
        assert refusal(Secrets({"ODD": given}), "ODD").endswith(f"ORCHESTRATOR_SECRET_ODD {fault}")


def test_the_largest_value_fits(folder: Path) -> None:
    (folder / "LARGE").write_bytes(b"x" * MAX_SECRET_BYTES + b"\r\n")
    assert len(Secrets({}, folder).get("LARGE")) == MAX_SECRET_BYTES


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "PIPE")
    (folder / "FOLDER").mkdir()
    assert refusal(Secrets({}, folder), "PIPE").endswith(f"{folder / 'PIPE'} is not a file")
    assert "cannot be read" in refusal(Secrets({}, folder), "FOLDER")


def test_a_changed_file_is_read_again_after_30_seconds(folder: Path) -> None:
    clock = Clock()
    secrets = Secrets({}, folder, clock)
    (folder / "TURNS").write_text("the first value")
    assert secrets.get("TURNS") == "the first value"
    (folder / "TURNS").write_text("the second value")
    clock.seconds += 29.9
    assert secrets.get("TURNS") == "the first value"
    clock.seconds += 0.2
    assert secrets.get("TURNS") == "the second value"
    assert mask("the first value, the second value") == "***, ***"
    (folder / "TURNS").unlink()
    clock.seconds += 31
    assert "was not found" in refusal(secrets, "TURNS")


def test_a_short_value_is_used_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    secrets = Secrets({"PIN": "123"})
    with caplog.at_level(logging.WARNING):
        assert (secrets.get("PIN"), secrets.get("PIN")) == ("123", "123")
    assert caplog.messages == ["secret PIN has fewer than 4 characters: it is not masked in errors and logs"]


def test_nothing_shows_the_values_and_a_copy_has_them(folder: Path) -> None:
    secrets = Secrets({"SHOWN": "never shown"}, folder)
    assert "never shown" not in repr(secrets)
    assert pickle.loads(pickle.dumps(secrets)).get("SHOWN") == "never shown"


def test_a_context_gives_secrets() -> None:
    assert StepContext("run", "step", secrets=Secrets({"GIVEN": "by the context"})).secret("GIVEN") == "by the context"
    with pytest.raises(TypeError, match="made without secrets"):
        StepContext("run", "step").secret("GIVEN")


def test_errors_and_progress_of_steps_are_masked() -> None:
    said: list[str] = []
    ctx = StepContext(
        "run", "step", on_progress=lambda _, text: said.append(text), secrets=Secrets({"E": "in an error"})
    )
    value = ctx.secret("E")
    ctx.progress(0.5, f"at {value}")
    error = to_step_error(SkillError(f"C {value}", "x" * 1990 + value, details={"a": [value], value: 1}))
    assert said == ["at ***"]
    assert (error.code, error.message, error.details) == ("C ***", "x" * 1990 + "***", {"a": ["***"], "***": 1})
    long = to_step_error(SkillError("C", "m", details={"a": "y" * 4085 + value, "b": "z" * 20_000}))
    assert "in an" not in str(long.details)
    assert to_step_error(KeyError(value)).message == "KeyError: '***'"


ARTIFACT = Artifact("id", "text/plain", "file:///store/ab", "ab", 1, "a.txt", {})


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (Output({"a": [{"b": "it leaks out here"}]}), "$.data.a[0].b"),
        (Output({"leaks out": 1}), "$.data"),
        (Output("y" * 100_000 + "leaks out"), "$.data"),
        (Output({}, (Artifact("id", "t", "https://h/leaks out", "", -1),)), "$.artifacts[0].uri"),
        (Output({}, (ARTIFACT, Artifact("id", "t", "file:///ab", "", -1, "leaks out"))), "$.artifacts[1].filename"),
    ],
)
async def test_an_output_with_a_secret_is_refused(output: Output, path: str) -> None:
    Secrets({"LEAK": "leaks out"}).get("LEAK")
    with pytest.raises(SkillError) as caught:
        await checked_output("a.skill", output)
    assert (caught.value.code, caught.value.retryable) == ("SECRET_IN_OUTPUT", False)
    assert caught.value.details == {"secrets": ["LEAK"], "path": path}


async def test_other_outputs_pass_unchanged() -> None:
    Secrets({"LEAK": "leaks out"}).get("LEAK")
    output = Output({"a": ["leaks", "out", 1, None]}, (ARTIFACT,))
    assert await checked_output("a.skill", output) is output


def test_declared_secrets_are_filled_in() -> None:
    secrets = Secrets({"A": "value/of a", "B": "value of b"})
    service = HttpSkill("s", "http://h/x?k=${secret:A}", "1", {"X": "${secret:A}-${secret:B}", "Y": "plain"})
    program = CommandSkill("p", ("p",), env={"X": "${secret:B}", "Y": "${HOME}"})
    assert service.fill(secrets.get) == (
        "http://h/x?k=value%2Fof%20a",
        {"X": "value/of a-value of b", "Y": "plain"},
    )
    assert program.fill(secrets.get) == {"X": "value of b", "Y": "${HOME}"}
    assert "value" not in repr(service) + repr(program)


def test_missing_secrets_are_listed_and_other_placeholders_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    skills = [
        HttpSkill("s", "http://h/", "1", {"X": "${secret:NO_1}", "Y": "${OTHER}"}),
        CommandSkill("p", ("p",), env={"X": "${secret:NO_2}"}),
    ]
    with caplog.at_level(logging.WARNING), pytest.raises(MissingSecrets) as caught:
        check_secrets(skills, Secrets())
    assert caught.value.code == "SECRET_NOT_FOUND"
    assert caught.value.message.splitlines() == [
        f"skill {skill}: {field}: secret {name} was not found; looked for the variable ORCHESTRATOR_SECRET_{name}"
        for skill, field, name in (("s", "headers.X", "NO_1"), ("p", "env.X", "NO_2"))
    ]
    (warning,) = caplog.messages
    assert warning.startswith("skill s: headers.Y contains ${OTHER}, which is used as it is")


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: HttpSkill("s", "http://h/${secret:A}"), "has a secret outside of its query"),
        (lambda: HttpSkill("s", "http://h/?a=${secret:}"), "the secret name '' must be 1 to 128"),
        (lambda: HttpSkill("s", "http://h/", "1", {"X": "${secret:a b}"}), "the secret name 'a b' must be"),
        (lambda: CommandSkill("p", ("p",), env={"X": "${secret:A"}), "has no closing brace"),
    ],
)
def test_invalid_placeholders_are_refused(make: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        make()  # type: ignore[operator]
