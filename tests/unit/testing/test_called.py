"""A skill called by the test kit is called as a worker calls it, and what it leaves behind is collected."""

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.skills import SkillError, SkillNotFound, StepContext, skill
from orchestrator.testing import acall, artifact, call


@dataclass
class Person:
    name: str


@skill("kit.greet")
def greet(person: Person, ctx: StepContext) -> dict[str, str]:
    ctx.log.info("greeting %s", person.name, polite=True)
    ctx.progress(0.5, "half")
    ctx.progress(2, "done")
    ctx.artifact(b"<h1>Hello</h1>", type="text/html", filename="card.html", metadata={"for": person.name})
    return {"text": f"Hello {person.name}"}


@skill("kit.read")
async def read(given: dict[str, Any], ctx: StepContext) -> int:
    return len(await asyncio.to_thread(ctx.read_artifact, given["file"]))


@skill("kit.fail")
def fail(given: dict[str, Any], ctx: StepContext) -> None:
    ctx.log.warning("about to fail", attempt_seen=ctx.attempt)
    raise SkillError("OUT_OF_PAPER", f"tray {given['tray']}", retryable=False)


def test_everything_a_skill_leaves_behind_is_collected() -> None:
    called = call(greet, {"name": "Ada"})

    assert called.data == {"text": "Hello Ada"}
    assert called.error is None
    (line,) = called.logs
    assert (line.level, line.text, line.fields) == ("info", "greeting Ada", {"polite": True})
    assert called.progress == [(0.5, "half"), (1.0, "done")]
    (card,) = called.artifacts
    assert (card.type, card.filename, card.content) == ("text/html", "card.html", b"<h1>Hello</h1>")
    assert card.metadata == {"for": "Ada"}
    assert card.document["sizeBytes"] == 14


def test_an_artifact_of_one_call_is_the_input_of_another() -> None:
    (card,) = call(greet, {"name": "Ada"}).artifacts
    assert call(read, {"file": card.document}).data == 14
    assert call(read, {"file": artifact(b"abc", "text/plain")}).data == 3


def test_a_failure_is_the_error_of_a_run_and_the_data_raises_it() -> None:
    called = call(fail, {"tray": 2}, attempt=3)

    assert called.error is not None
    assert (called.error.code, called.error.message, called.error.retryable) == ("OUT_OF_PAPER", "tray 2", False)
    assert called.logs[0].fields == {"attempt_seen": 3}
    with pytest.raises(SkillError, match="tray 2"):
        _ = called.data


def test_input_and_output_are_checked_as_in_a_run() -> None:
    @skill("kit.wrong")
    def wrong() -> int:
        return "many"  # type: ignore[return-value]

    bad_input, bad_output = call(greet, {"nome": "Ada"}), call(wrong)
    assert bad_input.error is not None
    assert bad_input.error.code == "SKILL_INPUT_INVALID"
    assert "$.name" in bad_input.error.message
    assert bad_output.error is not None
    assert bad_output.error.code == "SKILL_OUTPUT_INVALID"
    with pytest.raises(InputNotCanonical, match="name"):
        call(greet, {"name": {1, 2}})


def test_the_input_has_its_canonical_form() -> None:
    @skill("kit.same")
    def same(given: Any) -> Any:
        assert isinstance(given["size"], int)
        return given

    assert call(same, {"size": 1.0}).data == {"size": 1}


def test_secrets_are_those_of_the_test() -> None:
    @skill("kit.login")
    def login(_: Any, ctx: Any) -> str:
        return f"{len(ctx.secret('TOKEN'))} characters"

    assert call(login, secrets={"TOKEN": "abcd"}).data == "4 characters"
    with pytest.raises(LookupError, match=r"no secret 'TOKEN'; pass secrets="):
        _ = call(login).data


def test_a_skill_is_found_by_id_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "found.py").write_text(
        "from orchestrator import skill\n@skill('kit.found')\ndef found() -> int:\n    return 7\n"
    )
    assert call("kit.found", skills=tmp_path / "found.py").data == 7
    with pytest.raises(SkillNotFound, match=r"did you mean kit.found"):
        call("kit.fond", skills=[str(tmp_path / "found.py")])


@pytest.mark.slow
def test_a_skill_that_does_not_end_is_out_of_time() -> None:
    stop = threading.Event()

    @skill("kit.hang")
    def hang() -> None:
        stop.wait(30)

    called = call(hang, timeout_seconds=0.05)
    stop.set()
    assert called.error is not None
    assert called.error.code == "SKILL_TIMEOUT"


@pytest.mark.parametrize(
    ("wrong", "message"), [({"attempt": 0}, "attempt must be"), ({"timeout_seconds": 0}, "timeout_seconds must be")]
)
def test_arguments_have_bounds(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(greet, {"name": "Ada"}, **wrong)


async def test_in_a_coroutine_it_is_awaited() -> None:
    assert (await acall(greet, {"name": "Ada"})).data == {"text": "Hello Ada"}
    with pytest.raises(RuntimeError, match=r"await acall"):
        call(greet, {"name": "Ada"})
