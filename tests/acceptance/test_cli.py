"""The verbs: what they print, how they end, and what they say when something is wrong."""

import json
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, Done, Program, call

CHAIN = FIXTURES / "chain.yaml"
SKILLS = ("--skills", FIXTURES / "links.py")


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    """Settings for a database of the test's own."""
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def payload(home: Path, **more: object) -> str:
    return json.dumps({"file": str(home / "made"), **more})


def test_help_comes_at_once() -> None:
    done = min((call("--help", imports=True) for _ in range(3)), key=lambda done: done.cpu_seconds)

    assert done.code == 0
    assert done.cpu_seconds < 1.5
    for verb in ("dev", "worker", "run", "trigger", "status", "history", "demo", "workflows"):
        assert f"\n  {verb} " in done.out


def test_a_run_and_everything_that_is_told_of_it(env: dict[str, str], home: Path) -> None:
    done = call("run", CHAIN, "--payload", payload(home), *SKILLS, "--label", "who=me", "--json", env=env)
    assert done.code == 0, done.err
    run_id = done.document["id"]
    assert done.document["status"] == "completed"
    assert "step last completed" in done.err

    def asked(*words: str | Path) -> Done:
        answer = call(*words, env=env)
        assert answer.code == 0, answer.err
        return answer

    assert asked("status", run_id, "--json").document["labels"] == {"who": "me"}
    assert [step["stepId"] for step in asked("steps", run_id, "--status", "completed", "--json").document["steps"]] == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "last",
    ]
    assert asked("history", run_id, "--json").document["events"][0]["type"] == "RunTriggered"
    assert asked("runs", "list", "--label", "who=me", "--json").document["runs"][0]["id"] == run_id
    assert asked("runs", "list", "--status", "failed", "--json").document == {"runs": [], "nextCursor": None}
    assert asked("workflows", "list", "--json").document["workflows"][0]["workflowName"] == "chain.v1"
    assert len(asked("workflows", "show", "chain.v1", "--json").document["steps"]) == 6
    copied = asked("artifacts", run_id, "--step", "third", "--download", home / "copies", "--json").document
    assert Path(copied["artifacts"][0]["path"]).read_text() == "third"
    assert (home / "copies" / "third" / "third.txt").is_file()


def test_tables_for_people(env: dict[str, str], home: Path) -> None:
    done = call("run", CHAIN, "--payload", payload(home), *SKILLS, env=env)
    run_id = done.out.split()[1]

    assert f"run {run_id} completed after" in done.out
    assert "completed" in call("status", run_id, env=env).out
    assert "chain.link" in call("steps", run_id, env=env).out
    assert "StepCompleted" in call("history", run_id, env=env).out
    assert "last.txt" in call("artifacts", run_id, env=env).out
    assert run_id in call("runs", "list", env=env).out
    assert "chain.v1" in call("workflows", "show", "chain.v1", env=env).out


def test_a_run_that_fails_exits_with_1(env: dict[str, str], home: Path) -> None:
    done = call("run", CHAIN, "--payload", payload(home, breaks=True), *SKILLS, env=env)

    assert done.code == 1
    assert "failed" in done.out
    assert "LINK_BROKEN: this link was to break" in done.out
    assert "Traceback" not in done.err


def test_ctrl_c_cancels_the_run(env: dict[str, str], home: Path, programs: ExitStack) -> None:
    words = ("run", CHAIN, "--payload", payload(home, gate="/nowhere/gate"), *SKILLS, "--json")
    program = programs.enter_context(Program(*words, env=env))
    eventually((home / "made").exists, shows=lambda: program.err)

    assert program.stop(signal.SIGINT) == 130
    assert json.loads(program.out)["status"] == "cancelled"
    assert (home / "made").read_text().split() == ["first"]


def test_sigterm_leaves_the_run_to_a_worker(env: dict[str, str], home: Path, programs: ExitStack) -> None:
    words = ("run", CHAIN, "--payload", payload(home, gate=str(home / "gate")), *SKILLS)
    program = programs.enter_context(Program(*words, env=env))
    eventually((home / "made").exists, shows=lambda: program.err)
    program.process.send_signal(signal.SIGTERM)
    (home / "gate").touch()

    assert program.wait() == 128 + signal.SIGTERM
    assert "released; a worker on" in program.err
    run_id = call("runs", "list", "--json", env=env).document["runs"][0]["id"]
    programs.enter_context(Program("worker", *SKILLS, env=env))
    assert call("status", run_id, "--watch", "--json", env=env).document["status"] == "completed"
    assert (home / "made").read_text().split() == ["first", "second", "third", "fourth", "fifth", "last"]


def test_trigger_then_cancel(env: dict[str, str], home: Path) -> None:
    call("workflows", "register", CHAIN, env=env)
    (home / "payload.json").write_text(payload(home))
    run_id = call("trigger", "chain.v1", "--payload", f"@{home / 'payload.json'}", env=env).out.strip()

    cancelled = call("cancel", run_id, "--reason", "changed my mind", "--json", env=env)
    again = call("cancel", run_id, env=env)

    assert cancelled.document["status"] == "cancelled"
    assert again.code == 1
    assert "can no longer be cancelled" in again.err
    last = call("history", run_id, "--json", env=env).document["events"][-1]
    assert last["data"]["reason"] == "changed my mind"


def test_a_payload_on_stdin(env: dict[str, str], home: Path) -> None:
    call("workflows", "register", CHAIN, env=env)
    accepted = call("trigger", "chain.v1", "--payload", "-", "--json", env=env, given=payload(home)).document
    assert accepted["status"] == "queued"


def refused(done: Done) -> str:
    """Return what a verb said that was refused: one message, nothing on stdout, no traceback."""
    assert done.code == 1, done.out
    assert done.out == ""
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("error: ") == 1
    return done.err


UNKNOWN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trigger", "nothing.v1"), ["Unknown workflow nothing.v1", "workflows register"]),
        (("trigger", "chain.v1", "--payload", '{"file": 1, "gate": 1}'), ["gate: 1 is not of", "file: 1 is not of"]),
        (("trigger", "chain.v1", "--payload", "{"), ["The payload is not JSON", "--payload @file.json"]),
        (("trigger", "chain.v1", "--payload", "[]"), ["not an object"]),
        (("trigger", "chain.v1", "--payload", "@nowhere.json"), ["nowhere.json", "No such file"]),
        (("trigger", "chain.v1", "--label", "x"), ["label 'x'", "key=value"]),
        (("status", UNKNOWN), ["no run", "runs list"]),
        (("status", "yesterday"), ["Invalid run id 'yesterday'"]),
        (("runs", "list", "--cursor", "nonsense"), ["cursor"]),
        (("run", "nowhere.yaml"), ["nowhere.yaml", "No such file"]),
        (("run", CHAIN), ["chain.link", "--skills"]),
        (("run", CHAIN, "--skills", "no.such.module"), ["no.such.module", "No module named"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_users_get_wrong(words: tuple[str | Path, ...], told: list[str], env: dict[str, str]) -> None:
    if "chain.v1" in words:
        call("workflows", "register", CHAIN, env=env)
    said = refused(call(*words, env=env))
    for words_told in told:
        assert words_told in said


def test_every_fault_of_a_workflow_is_listed(home: Path) -> None:
    faults = ["workflowName", "steps[0].dependsOn[0]", "steps[1].retryPolicy", "steps[2].stepId", "steps[3].input"]
    for verb in (("workflows", "register"), ("dev", "--port", "0", "--workflows")):
        said = refused(call(*verb, FIXTURES / "faulty.yaml", "--data-dir", home / "new"))
        assert [fault for fault in faults if fault not in said] == []
    assert not (home / "new").exists(), "nothing is begun for a workflow with faults"

    checked = call("workflows", "validate", FIXTURES, "--json")
    assert checked.code == 1
    by_file = {Path(file["file"]).name: file for file in checked.document["files"]}
    assert by_file["chain.yaml"]["valid"]
    assert len(by_file["faulty.yaml"]["faults"]) == 5


def test_a_version_is_immutable(env: dict[str, str], home: Path) -> None:
    call("workflows", "register", CHAIN, env=env)
    changed = home / "chain.yaml"
    changed.write_text(CHAIN.read_text().replace("Six steps in a row", "Other words"))

    assert "same content" in call("workflows", "register", CHAIN, env=env).out
    assert "immutable" in refused(call("workflows", "register", changed, env=env))


@pytest.mark.parametrize("verb", ["dev", "worker", "projector", "demo"])
def test_a_data_directory_that_is_a_file(verb: str, home: Path) -> None:
    (home / "file").touch()
    assert str(home / "file") in refused(call(verb, "--data-dir", home / "file"))


def test_reading_verbs_make_no_data_directory(home: Path) -> None:
    assert "--data-dir" in refused(call("runs", "list", "--data-dir", home / "nowhere"))
    assert not (home / "nowhere").exists()


@pytest.mark.parametrize("verb", [("dev",), ("runs", "list")])
def test_a_database_that_is_away(verb: tuple[str, ...]) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/nowhere", "ORCHESTRATOR_PORT": "0"}
    said = refused(call(*verb, env=env))
    assert "127.0.0.1:1/nowhere" in said
    assert "ORCHESTRATOR_DATABASE_URL" in said
    assert "hush" not in said


def test_a_port_that_is_taken_and_an_address_for_all(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Cannot listen on port {port}" in refused(call("dev", "--port", port, "--data-dir", home))
    assert "Refusing" in refused(call("dev", "--host", "0.0.0.0", "--data-dir", home))


def test_a_setting_that_cannot_be_used() -> None:
    assert "ORCHESTRATOR_THREADS" in refused(call("worker", env={"ORCHESTRATOR_THREADS": "many"}))


def test_a_fault_of_the_program_is_named_and_shown_on_demand(home: Path) -> None:
    broken = home / "src"
    _copy_program(broken, lambda text: text.replace("def read_labels(", "def no_such_function("))
    words = ("trigger", "chain.v1")
    short = call(*words, env={"PYTHONPATH": str(broken)})
    long = call(*words, "--debug", env={"PYTHONPATH": str(broken)})

    assert short.code == 1
    assert "unexpected ImportError" in short.err
    assert "--debug" in short.err
    assert "Traceback" not in short.err
    assert "Traceback" in long.err


def _copy_program(target: Path, change: Callable[[str], str]) -> None:
    source = Path(__file__).resolve().parents[2] / "src" / "orchestrator"
    for file in source.rglob("*"):
        if file.suffix in (".py", ".sql"):
            copy = target / "orchestrator" / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8")
            copy.write_text(change(text) if file.name == "inputs.py" else text, encoding="utf-8")
