"""Sources of skills and workflows, as users name them to the installed program."""

import json
import subprocess
import sys
from pathlib import Path

from tests.world.programs import ROOT, call, environment


def installed(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Call the console script: unlike `python -m`, it does not put the current folder on Python's path."""
    script = Path(sys.executable).with_name("orchestrator")
    return subprocess.run(
        [script, *words], check=False, capture_output=True, text=True, timeout=90, env=environment(), cwd=cwd
    )


def test_the_skills_of_the_example_are_a_module_too() -> None:
    words = ("workflows", "validate", "examples/campaign/campaign.build.v1.yaml", "--json", "--skills")
    for source in ("examples.campaign.skills", "examples/campaign/skills"):
        done = installed(*words, source, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["files"][0]["warnings"] == []


def test_a_file_with_a_neighbour_runs_in_threads_and_in_processes(home: Path) -> None:
    (home / "words.py").write_text("GREETING = 'Hello'\n")
    (home / "hello.py").write_text(
        "import multiprocessing\n\nfrom orchestrator import skill\nfrom words import GREETING\n\n\n"
        "def make(name):\n    @skill(name)\n    def greet():\n        child = multiprocessing.parent_process()\n"
        "        return {'text': GREETING, 'child': child is not None}\n\n\nmake('text.greet')\n"
    )
    workflow = {"workflowName": "hello", "version": "1", "steps": [{"stepId": "a", "skillId": "text.greet"}]}
    (home / "hello.json").write_text(json.dumps(workflow))
    for executor in ("thread", "process"):
        words = ("run", "hello.json", "--skills", "hello.py", "--json", "--data-dir", home / executor)
        done = call(*words, "--executor", executor, cwd=home)
        assert done.code == 0, done.err
        steps = call("steps", done.document["id"], "--json", "--data-dir", home / executor).document["steps"]
        assert steps[0]["data"] == {"text": "Hello", "child": executor == "process"}


def test_a_name_that_is_no_id_is_one_clear_line(home: Path) -> None:
    (home / "hello.py").write_text("from orchestrator import skill\n\n\n@skill\ndef _greet(): ...\n")
    done = call("worker", "--skills", home / "hello.py", "--data-dir", home / "data")
    assert done.code == 1
    assert "the name '_greet' cannot be the id of a skill: give one" in done.err
    assert "This is a bug" not in done.err
