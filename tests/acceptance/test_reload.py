"""`dev --reload`: what is edited is what runs next."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.waiting import eventually
from tests.world.programs import Program, Site, started

SKILLS = """
import pathlib
from orchestrator import StepContext, skill
from words import WORD


@skill(version="{version}")
def speak(given: dict, ctx: StepContext) -> dict:
    gate = given.get("gate")
    if gate:
        pathlib.Path(gate + ".begun").touch()
    while gate and not pathlib.Path(gate).exists():
        ctx.wait(0.05)
    return {{"word": WORD}}
"""

FLOW = """
workflowName: speech
version: "1.0.0"
description: {description}
steps: [{{stepId: speak, skillId: speak, input: {{gate: trigger.gate, turn: trigger.turn}}}}]
"""


class Workshop:
    """A folder with skills and a workflow that is edited, and the program that serves it."""

    def __init__(self, home: Path, programs: ExitStack, *words: str) -> None:
        self.folder = home / "workshop"
        self.folder.mkdir()
        self.edit("words.py", 'WORD = "one"\n')
        self.edit("skills.py", SKILLS.format(version="1"))
        self.edit("speech.yaml", FLOW.format(description="first"))
        given = ("--data-dir", home / "data", "--skills", self.folder, "--workflows", self.folder, *words)
        self.program = programs.enter_context(Program("dev", "--port", "0", "--reload", *given))
        self.site = programs.enter_context(Site(self.program.ready()))
        self.turn = 0

    def edit(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def told(self, text: str, times: int = 1) -> None:
        eventually(lambda: self.program.err.count(text) >= times, what=text)

    def speak(self) -> Any:
        self.turn += 1
        run_id = self.site.trigger("speech", {"turn": self.turn})
        run = self.site.ended(run_id)
        assert run["status"] == "completed", run
        return self.site.get(f"/runs/{run_id}/steps/speak/data")["word"], run["workflowVersion"]


def test_an_edited_skill_and_definition_are_used_and_a_broken_one_is_not(home: Path, programs: ExitStack) -> None:
    shop = Workshop(home, programs)
    assert shop.speak() == ("one", "1.0.0")

    shop.edit("words.py", 'WORD = "two"\n')
    shop.told("reloaded: words.py")
    assert shop.speak() == ("two", "1.0.0")

    shop.edit("words.py", "WORD = = 3\n")
    shop.told("words.py changed, not reloaded; what was loaded before is kept")
    assert "SyntaxError" in shop.program.err
    assert shop.speak() == ("two", "1.0.0")

    shop.edit("words.py", 'WORD = "three"\n')
    shop.told("reloaded: words.py", 2)
    assert shop.speak() == ("three", "1.0.0")

    shop.edit("speech.yaml", FLOW.format(description="second"))
    shop.told("workflow speech 1.0.0 has changed: registered as 1.0.0+dev.1")
    shop.told("reloaded: speech.yaml")
    assert shop.speak() == ("three", "1.0.0+dev.1")

    shop.edit("speech.yaml", "steps: 7\n")
    shop.told("speech.yaml changed, not reloaded")
    assert shop.speak() == ("three", "1.0.0+dev.1")
    assert shop.program.out.count("\n") == 1
    assert shop.program.stop() == 0


def test_an_executing_step_ends_before_its_worker_does(home: Path, programs: ExitStack) -> None:
    shop = Workshop(home, programs)
    gate = home / "gate"
    run_id = shop.site.trigger("speech", {"gate": str(gate)})
    eventually(gate.with_name("gate.begun").exists)

    shop.edit("skills.py", SKILLS.format(version="2"))
    waiting = shop.site.trigger("speech", {"turn": 1})
    gate.touch()
    shop.told("reloaded: skills.py")

    assert shop.site.ended(run_id)["status"] == "completed"
    assert started(shop.site.events(run_id)) == {"speak": 1}
    assert shop.site.ended(waiting)["status"] == "completed"
    later = shop.site.trigger("speech", {"turn": 2})
    assert shop.site.ended(later)["status"] == "completed"
    versions = [event["data"]["skill"] for event in shop.site.events(later) if event["type"] == "StepStarted"]
    assert [version.partition("+")[0] for version in versions] == ["speak@2"]  # `dev` adds the hash of the code


def test_skills_in_processes_are_reloaded_too(home: Path, programs: ExitStack) -> None:
    shop = Workshop(home, programs, "--executor", "process")
    assert shop.speak() == ("one", "1.0.0")
    shop.edit("words.py", 'WORD = "two"\n')
    shop.told("reloaded: words.py")
    assert shop.speak() == ("two", "1.0.0")
