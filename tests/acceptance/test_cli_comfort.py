"""The command line for those who use it all day: short names of runs, waiting, outputs, labels of updates."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.folders import open_folder
from orchestrator import Client
from tests.acceptance.test_cli_targets import Done, World, call, refused
from tests.world.programs import FIXTURES, Program
from tests.world.programs import call as start

SKILLS = ("--skills", FIXTURES / "links.py")
Ask = Callable[..., Done]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_folder() as home:
        files = ("--workflows", FIXTURES / "chain.yaml", "--workflows", FIXTURES / "waiting.yaml")
        with Program("dev", "--port", "0", "--data-dir", home / "data", *files, *SKILLS) as program:
            yield World(program.ready(), home / "data")
            assert program.stop() == 0


@pytest.fixture(params=["server", "data directory"])
def ask(request: pytest.FixtureRequest, world: World) -> Ask:
    return lambda *words: world.ask(request.param, *words)


def payload(file: Path, **more: Any) -> tuple[str, str]:
    return "--payload", json.dumps({"file": str(file), **more})


def said(done: Done, code: int = 0) -> Done:
    assert done.code == code, done.out + done.err
    return done


def triggered(ask: Ask, file: Path, *words: str) -> str:
    """The id of a run of the chain that has completed."""
    return said(ask("trigger", "chain.v1", *payload(file), "--wait", *words)).out.strip()


def test_a_run_is_named_by_its_beginning_or_as_the_last_one(ask: Ask, tmp_path: Path) -> None:
    run_id = triggered(ask, tmp_path / "made")
    waiting = said(ask("trigger", "waiting.v1")).out.strip()

    for name in (run_id[:30], run_id[:30].upper(), run_id.replace("-", "")[:25], "@last:chain.v1"):
        assert said(ask("status", name, "--json")).document["id"] == run_id
    assert said(ask("cancel", "@last", "--json")).document["id"] == waiting
    for verb in ("steps", "artifacts", "history"):
        assert said(ask(verb, "@last:chain.v1", "--json")).document["runId"] == run_id
    assert "third" in said(ask("cache", "explain", run_id[:30], "third")).out
    plan = said(ask("update", run_id[:30], "payload.patch", "--plan", "--json")).document
    assert plan["baseRunId"] == run_id


def test_verbs_on_the_data_itself_take_short_names_too(world: World, tmp_path: Path) -> None:
    here = ("--data-dir", world.data)
    first = triggered(lambda *words: call(*words, *here), tmp_path / "made")
    second = triggered(lambda *words: call(*words, *here), tmp_path / "made")
    assert said(call("replay", first[:30], "--json", *here)).document["run"]["id"] == first
    found = said(call("diff", first[:30], "@last", "--json", *here)).document
    assert (found["before"]["runId"], found["after"]["runId"]) == (first, second)
    assert said(call("audit", "verify", "--run", "@last", "--json", *here)).document["verified"]
    exported = said(call("audit", "export", "--run", "@last:chain.v1", *here)).out
    assert second in exported
    assert f'"streamId":"{first}"' not in exported.replace(" ", "")


def test_a_beginning_that_several_runs_share_lists_them(ask: Ask, world: World, tmp_path: Path) -> None:
    # Ids that are made here begin with the time; those that a client asks for are derived from its key.
    ids = [triggered(lambda *words: world.ask("data directory", *words), tmp_path / "made") for _ in range(2)]
    complaint = refused(ask("status", ids[0][:4]))
    assert f"Several runs have an id that begins with {ids[0][:4]}:" in complaint
    listed = [line.split() for line in complaint.splitlines()[1:] if "chain.v1" in line or "waiting.v1" in line]
    assert 2 <= len(listed) <= 5
    assert {ids[0], ids[1]} & {line[0] for line in listed}
    assert all(line[4].startswith("20") and line[4].endswith("Z") for line in listed)
    assert "Give more characters" in complaint


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ffffffffff", "No run has an id that begins with ffffffffff"),
        ("fff", "at least 4 characters"),
        ("latest", "its beginning, or @last"),
        ("@last:", "names no workflow"),
        ("@last:chian.v1", "Did you mean 'chain.v1'?"),
    ],
)
def test_what_names_no_run(ask: Ask, name: str, told: str) -> None:
    assert told in refused(ask("status", name))


def test_runs_since_a_time_and_of_a_version(ask: Ask, world: World, tmp_path: Path) -> None:
    run_id = triggered(ask, tmp_path / "made", "--label", "since=when")
    created = said(ask("status", run_id, "--json")).document["createdAt"]

    def listed(*words: str) -> list[str]:
        return [run["id"] for run in said(ask("runs", "list", *words, "--json")).document["runs"]]

    assert run_id in listed("--since", "10m")
    assert listed("--since", created)[-1] == run_id
    assert listed("--since", "2999-01-01") == []
    assert run_id in listed("--workflow", "chain.v1", "--version", "1.0.0", "--since", "10m")
    assert "--version needs --workflow" in refused(ask("runs", "list", "--version", "1.0.0"))
    assert "7.0.0" in refused(ask("runs", "list", "--workflow", "chain.v1", "--version", "7.0.0"))
    assert "Invalid age or time" in refused(ask("runs", "list", "--since", "yesterday"))
    with Client(world.address) as client:
        assert run_id in [run["id"] for run in client.runs(workflow="chain.v1", version="1.0.0", since=created)]


def test_waiting_for_one_run_and_for_many(ask: Ask, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ids = [
        said(ask("trigger", "chain.v1", *payload(tmp_path / f"made{n}", gate=str(gate)))).out.strip() for n in range(3)
    ]
    late = said(ask("wait", *ids, "--timeout", "1s"), 124)
    assert f"run {ids[0]} is still running" in late.err
    assert said(ask("wait", ids[0], "--timeout", "0.5s", "--json"), 124).document["runs"][0]["status"] == "running"
    gate.touch()
    done = said(ask("wait", *ids, "@last:chain.v1"))
    assert "(3 of 3)" in done.err
    assert done.out.splitlines() == [f"{run_id} completed" for run_id in ids]
    assert "run completed" in said(ask("wait", ids[0])).err

    failed = said(ask("trigger", "chain.v1", *payload(tmp_path / "broken", breaks=True))).out.strip()
    cancelled = said(ask("trigger", "waiting.v1")).out.strip()
    said(ask("cancel", cancelled))
    broken = said(ask("wait", ids[0], failed, cancelled, "--json"), 1)
    assert [run["status"] for run in broken.document["runs"]] == ["completed", "failed", "cancelled"]
    assert f"run {failed} failed" in broken.err
    assert "LINK_BROKEN" in broken.err
    said(ask("wait", cancelled, ids[1]), 130)
    assert "no run" in refused(ask("wait", "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"))
    assert "Invalid age" in refused(ask("wait", ids[0], "--timeout", "soon"))


def test_outputs_of_the_last_steps_and_of_one(ask: Ask, tmp_path: Path) -> None:
    run_id = triggered(ask, tmp_path / "made")
    steps = {step["stepId"]: step["data"] for step in said(ask("steps", run_id, "--json")).document["steps"]}
    assert said(ask("outputs", run_id)).document == {"last": steps["last"]}
    assert said(ask("outputs", run_id, "first")).document == steps["first"]
    whole = said(ask("outputs", run_id, "--json")).document
    assert whole == {"runId": run_id, "outputs": {"last": steps["last"]}, "missing": {}}
    assert "Did you mean 'first'?" in refused(ask("outputs", run_id, "frist"))
    waiting = said(ask("trigger", "waiting.v1")).out.strip()
    assert f"wait is pending. Wait for it with `orchestrator wait {waiting}`" in refused(ask("outputs", waiting))
    said(ask("cancel", waiting))
    assert "`orchestrator steps" in refused(ask("outputs", waiting))


def test_triggers_updates_and_retries_wait_and_have_labels(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "made"
    made = said(ask("trigger", "chain.v1", *payload(file), "--label", "a=1", "--priority", "3", "--wait", "--json"))
    base = made.document
    assert (base["status"], base["labels"]) == ("completed", {"a": "1"})
    assert "step last" in made.err
    change = ("update", base["id"], "payload.patch", "--payload")
    updated = said(ask(*change, json.dumps({"file": str(tmp_path / "other")}), "--wait", "--label", "b=2", "--json"))
    assert updated.document["status"] == "completed"
    assert updated.document["labels"] == {"a": "1", "b": "2"}
    assert updated.document["priority"] == 3
    broken = said(ask(*change, json.dumps({"breaks": True}), "--wait", "--label", "a=9", "--priority", "0"), 1)
    failed = broken.out.strip()
    assert "LINK_BROKEN" in broken.err
    retried = said(ask("retry", failed, "--wait", "--label", "c=3", "--json"), 1).document
    assert retried["labels"] == {"a": "9", "c": "3"}
    assert retried["priority"] == 0
    each = tmp_path / "each.jsonl"
    each.write_text("".join(json.dumps({"file": str(tmp_path / f"each{n}")}) + "\n" for n in range(3)))
    runs = said(ask("trigger", "chain.v1", "--each", each, "--wait", "--json")).document["runs"]
    assert [run["status"] for run in runs] == ["completed"] * 3
    assert "--label key=value" in refused(ask("retry", failed, "--label", "c"))


def test_labels_and_priority_of_updates_through_the_client(world: World, tmp_path: Path) -> None:
    with Client(world.address) as client:
        run = client.wait(client.trigger("chain.v1", {"file": str(tmp_path / "made")}, labels={"a": "1"})["runId"])
        change = {"file": str(tmp_path / "x")}
        made = client.update(run["id"], "payload.patch", change, labels={"a": "2", "b": ""}, priority=-1)
        updated = client.run(made["runId"])
        assert (updated["labels"], updated["priority"]) == ({"a": "2", "b": ""}, -1)
        client.wait(made["runId"])
        cancelled = client.cancel(client.trigger("waiting.v1", labels={"a": "1"})["runId"])
        retried = client.run(client.retry(cancelled["id"], labels={"b": "2"}, priority=4)["runId"])
        assert (retried["labels"], retried["priority"]) == ({"a": "1", "b": "2"}, 4)
        assert client.cancel(retried["id"])["status"] == "cancelled"
        assert client.queues()["workers"] == 1


def test_without_a_worker_that_is_told(database_url: str, home: Path, programs: ExitStack, tmp_path: Path) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    said(call("workflows", "register", FIXTURES / "chain.yaml", env=env))
    alone = "no worker is running"
    lonely = said(call("trigger", "chain.v1", *payload(tmp_path / "made", breaks=True), env=env))
    assert alone in lonely.err
    run_id = lonely.out.strip()
    assert alone in said(call("trigger", "chain.v1", *payload(tmp_path / "made"), "--json", env=env)).err
    said(call("cancel", "@last", env=env))
    assert alone in said(call("retry", "@last", env=env)).err
    said(call("cancel", "@last", env=env))
    api = programs.enter_context(Program("api", "--port", "0", env=env))
    server = {"ORCHESTRATOR_SERVER": api.ready()}
    assert alone in said(call("retry", "@last", env=server)).err
    said(call("cancel", "@last", env=server))
    programs.enter_context(Program("worker", *SKILLS, env=env))
    assert said(call("wait", run_id, env=server), 1).out.split()[1] == "failed"
    retried = start("retry", run_id, "--wait", env=server)
    assert retried.code == 1
    assert alone not in retried.err


SHELLS = {
    "bash": lambda words: {"COMP_WORDS": "\n".join(["orchestrator", *words]), "COMP_CWORD": str(len(words))},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(["orchestrator", *words])},
}


def completed(shell: str, *words: str, env: dict[str, str] | None = None) -> str:
    """What a shell is told when the user presses the tab key after these words."""
    asked = {**SHELLS[shell](words), "_ORCHESTRATOR_COMPLETE": f"complete_{shell}", **(env or {})}
    done = said(start(env=asked))
    assert done.err == ""
    return done.out


def test_the_shell_completes_verbs_options_runs_workflows_and_steps(world: World, tmp_path: Path) -> None:
    run_id = triggered(lambda *words: world.ask("server", *words), tmp_path / "made")
    server, folder = {"ORCHESTRATOR_SERVER": world.address}, {"ORCHESTRATOR_DATA_DIR": str(world.data)}
    assert {"status", "steps"} <= set(completed("bash", "st").split())
    assert "--watch" in completed("bash", "status", "--w").split()
    for env in (server, folder):
        assert {"@last", run_id} <= set(completed("bash", "status", "", env=env).split())
    assert completed("bash", "status", run_id[:12], env=server).split() == [run_id]
    assert "chain.v1 completed" in completed("zsh", "status", run_id[:12], env=server)
    assert completed("bash", "trigger", "--server", world.address, "ch").split() == ["chain.v1"]
    assert completed("bash", "trigger", "ch", env=server).split() == ["chain.v1"]
    assert completed("bash", "outputs", "@last:chain.v1", "f", env=server).split() == ["first", "fourth", "fifth"]


def test_a_completion_that_cannot_ask_says_nothing(tmp_path: Path) -> None:
    for env in (
        {"ORCHESTRATOR_SERVER": "http://127.0.0.1:1"},
        {"ORCHESTRATOR_SERVER": "nonsense"},
        {"ORCHESTRATOR_DATA_DIR": str(tmp_path / "none")},
        {"ORCHESTRATOR_DATA_DIR": str(tmp_path)},
    ):
        assert completed("bash", "trigger", "", env=env).split() == []
    assert list(tmp_path.iterdir()) == []


def test_the_program_writes_the_script_for_a_shell() -> None:
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = said(start("--show-completion", "bash", env=env)).out
    assert "_ORCHESTRATOR_COMPLETE=complete_bash" in script
