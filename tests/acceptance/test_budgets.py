"""Definitions that ask for endless work, on a real server: their runs fail, all others are served, a restart works."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, Site

WORDS = ("--skills", FIXTURES / "links.py", "--workflows", FIXTURES / "chain.yaml")
HOSTILE = {
    "trigger.a" + " | [@,@]" * 40,
    "trigger.a" + " | join('', [@,@])" * 40,
    "[trigger.a]" + " | [@,@][] | sort_by(@, &@)" * 40,
}


def definition(name: str, selector: str) -> dict[str, Any]:
    return {
        "workflowName": name,
        "version": "1",
        "steps": [{"stepId": "a", "skillId": "chain.link", "input": {"x": selector}}],
    }


def test_runs_that_ask_for_endless_work_fail_while_others_complete(home: Path, programs: ExitStack) -> None:
    program = programs.enter_context(Program("dev", "--port", "0", "--data-dir", home, *WORDS))
    site = programs.enter_context(Site(program.ready()))
    hostile = []
    for number, selector in enumerate(HOSTILE):
        site.post("/workflows", definition(f"hostile-{number}", selector))
        hostile.append(site.trigger(f"hostile-{number}", {"a": "word"}))

    assert site.ended(site.trigger("chain.v1", {"file": str(home / "made")}))["status"] == "completed"
    for run_id in hostile:
        assert site.ended(run_id)["error"]["code"] == "SKILL_INPUT_TOO_LARGE"
    program.kill()

    again = programs.enter_context(Program("dev", "--port", "0", "--data-dir", home, *WORDS))
    site = programs.enter_context(Site(again.ready()))
    eventually(
        lambda: site.get(f"/runs/{hostile[0]}"), what="it has failed", right=lambda run: run["status"] == "failed"
    )
    assert site.ended(site.trigger("chain.v1", {"file": str(home / "again")}))["status"] == "completed"
