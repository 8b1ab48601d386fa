"""What programs of skills can find out of the secrets of their worker: of its environment, memory and parents."""

import base64
import ctypes
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is hidden, as the docs say")

SNOOP = FIXTURES / "snoop.py"
SECRET = base64.b64encode(b"a key that nobody else may know!").decode()
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_CIPHER_KEY": SECRET,
        "ORCHESTRATOR_SECRET_UNUSED": SECRET,
        "STUDIO_TOKEN": "for skills",
    }


def trigger(skill: str, home: Path, env: dict[str, str]) -> list[str | Path]:
    """Trigger a run of one step, and return the options that name the skills.

    No worker is there yet: the processes of these verbs, whose environment holds the secret too, are gone by then.
    """
    program = {"skillId": "snoop.program", "kind": "command", "command": [sys.executable, str(SNOOP)]}
    (home / "snoop.json").write_text(json.dumps({"skills": [program]}))
    step = {"stepId": "only", "skillId": skill, "input": {"reversed": "trigger.reversed", "to": "trigger.to"}}
    (home / "workflow.json").write_text(json.dumps({"workflowName": skill, "version": "1", "steps": [step]}))
    payload = json.dumps(
        {"reversed": SECRET[::-1], "to": str(home / "found")}
    )  # as it is, it would be found in the input
    assert call("workflows", "register", home / "workflow.json", env=env).code == 0
    assert call("trigger", skill, "--payload", payload, env=env).code == 0
    return ["--skills", home / "snoop.json", "--skills", SNOOP]


def found_in(home: Path, worker: Program) -> Any:
    file = home / "found"
    eventually(lambda: file.exists() and file.read_text().endswith("\n"), shows=lambda: worker.err)
    return json.loads(file.read_text())


def give_up_rights() -> None:
    """Leave root its name, and the right to open any file, which the test's database needs."""
    libc = ctypes.CDLL(None)
    for capability in range(CAP_DAC_OVERRIDE + 1, 64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.mark.parametrize("rights", ["ours", "none"])
def test_programs_find_no_secret(env: dict[str, str], home: Path, programs: ExitStack, rights: str) -> None:
    """With the rights that these tests have (of root, often), and with those of an ordinary user."""
    options = trigger("snoop.program", home, env)
    prepare = give_up_rights if rights == "none" else None
    worker = programs.enter_context(Program("worker", *options, env=env, prepare=prepare, imports=True))

    found = found_in(home, worker)

    assert "orchestrator worker" in found["worker"], "it looked for its worker in the wrong place"
    assert found["found"] == []
    assert (found["mem"], found["ptrace"]) == ("PermissionError", "Operation not permitted")
    if rights == "none":  # CAP_SYS_ADMIN may see these on new kernels; there is no secret in the environment any more
        assert {found[name] for name in ("environ", "maps")} == {"PermissionError"}
    assert found["parents"] == ["", ""]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_python_skills_do_not_inherit_our_secrets(
    env: dict[str, str], home: Path, programs: ExitStack, executor: str
) -> None:
    options = trigger("snoop.python", home, env)
    worker = programs.enter_context(Program("worker", *options, env={**env, "ORCHESTRATOR_EXECUTOR": executor}))
    assert found_in(home, worker) == {
        "own": [],
        "inherited": False,
        "initial": False,
        "kept": "for skills",
    }
