"""The test kit and `run` as users have them: in their pytest, in their scripts and on the command line."""

import json
import subprocess
import sys
from pathlib import Path

from tests.world.programs import PATIENCE_SECONDS, call, environment

FLOW = """
from orchestrator import StepContext, run, skill
from orchestrator.workflows import define, step


@skill("paper.count", version="{version}")
def count(given: dict, ctx: StepContext) -> dict:
    ctx.artifact(given["text"].encode(), type="text/plain", filename="text.txt")
    return {{"words": len(given["text"].split())}}


flow = define("paper", "1.0.0", [step("count", "paper.count", input={{"text": "trigger.text"}}, {more})])

if __name__ == "__main__":
    import sys

    ran = run(flow, {{"text": "one two"}}, data_dir=sys.argv[1] if sys.argv[1:] else None)
    print(ran.run_id, ran.workflow_version, ran.status, ran.outputs["count"]["words"], ran.artifacts[0].content)
"""

TESTS = """
import sys

import flows


def test_skill(orchestrator):
    assert orchestrator.call(flows.count, {"text": "a b c"}).data == {"words": 3}


def test_workflow(orchestrator):
    ran = orchestrator.run(flows.flow, {"text": "a"}, skills=flows)
    assert ran.status == "completed"


def test_own_skills(orchestrator):
    ran = orchestrator.run(flows.flow, {"text": "a"}, results={"count": {"words": 9}})
    assert ran.outputs["count"] == {"words": 9}
"""

UNINTERESTED = """
import sys


def test_nothing_is_loaded():
    loaded = [name for name in sys.modules if name.partition(".")[0] == "orchestrator"]
    assert sorted(loaded) == ["orchestrator", "orchestrator.testing", "orchestrator.testing.plugin"]
"""


def write_flow(folder: Path, *, version: str = "1", more: str = "") -> Path:
    file = folder / "flows.py"
    file.write_text(FLOW.format(version=version, more=more))
    return file


def python(*words: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, cwd=cwd, env=environment(),
    )  # fmt: skip


def test_the_fixture_is_there_in_every_pytest(tmp_path: Path) -> None:
    write_flow(tmp_path)
    (tmp_path / "test_flows.py").write_text(TESTS)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_it_costs_nothing_to_those_who_do_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(UNINTERESTED)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_python_file_is_run_with_its_skills(home: Path) -> None:
    file = write_flow(home)
    done = call("run", file, "--payload", '{"text": "a b"}', "--data-dir", home / "data", "--json")
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    in_children = call(
        "run", file, "--payload", '{"text": "a b c"}', "--data-dir", home / "data", "--executor", "process", "--json"
    )
    assert in_children.code == 0, in_children.err

    steps = call("steps", in_children.document["id"], "--data-dir", home / "data", "--json").document["steps"]
    assert steps[0]["data"] == {"words": 3}


def test_a_script_runs_in_memory_or_on_a_data_directory(home: Path) -> None:
    file = write_flow(home)
    in_memory = python(file, cwd=home)
    assert in_memory.returncode == 0, in_memory.stderr
    assert in_memory.stdout.split(" ", 1)[1] == "1.0.0 completed 2 b'one two'\n"
    assert not (home / ".orchestrator").exists()

    kept = python(file, home / "data", cwd=home)
    assert kept.returncode == 0, kept.stderr
    run_id, rest = kept.stdout.split(" ", 1)
    assert rest == "1.0.0 completed 2 b'one two'\n"
    assert call("status", run_id, "--data-dir", home / "data", "--json").document["status"] == "completed"

    write_flow(home, more="timeout_ms=60000")
    changed = python(file, home / "data", cwd=home)
    assert changed.stdout.split(" ", 1)[1] == "1.0.0+dev.1 completed 2 b'one two'\n"


def test_a_changed_definition_runs_as_a_development_version(home: Path) -> None:
    data = ("--payload", '{"text": "a b"}', "--data-dir", home / "data")
    versions = []
    for more in ("", "timeout_ms=60000", "timeout_ms=60000", "timeout_ms=70000", ""):
        done = call("run", write_flow(home, more=more), *data, "--json")
        assert done.code == 0, done.err
        versions.append(done.document["workflowVersion"])
        told = f"paper 1.0.0 has changed: running it as {versions[-1]}\n"
        assert (told in done.err) == (versions[-1] != "1.0.0")
    assert versions == ["1.0.0", "1.0.0+dev.1", "1.0.0+dev.1", "1.0.0+dev.2", "1.0.0+dev.3"]
    shown = call("workflows", "show", "paper", "--data-dir", home / "data", "--json").document
    assert shown["versions"] == ["1.0.0", "1.0.0+dev.1", "1.0.0+dev.2", "1.0.0+dev.3"]

    document = {"workflowName": "paper", "version": "1.0.0", "steps": [{"stepId": "count", "skillId": "paper.count"}]}
    (home / "paper.json").write_text(json.dumps(document))
    refused = call("workflows", "register", home / "paper.json", "--data-dir", home / "data")
    assert refused.code == 1
    assert "Workflow paper 1.0.0 is already registered with different content" in refused.err
