"""The verbs that ask: the same questions and the same answers, whether a server is asked or the data directory."""

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.folders import open_folder
from orchestrator import Client
from orchestrator.cli.app import app
from orchestrator.cli.errors import complain
from tests.world.programs import FIXTURES, Program

UNKNOWN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"


@dataclass(frozen=True)
class Done:
    """A verb that came to its end."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Ask = Callable[..., Done]


def call(*words: str | Path, env: dict[str, str] | None = None) -> Done:
    """Ask in this process, as `main` does; the server is one of its own."""
    ours = {name: None for name in os.environ if name.startswith("ORCHESTRATOR_")}
    said = CliRunner().invoke(app, [str(word) for word in words], env={**ours, **(env or {})})
    if said.exception is None or isinstance(said.exception, SystemExit):
        return Done(said.exit_code, said.stdout, said.stderr)
    with redirect_stderr(io.StringIO()) as complaint:
        code = complain(said.exception)
    return Done(code, said.stdout, said.stderr + complaint.getvalue())


@dataclass(frozen=True)
class World:
    """A program that serves, and where its data is."""

    address: str
    data: Path

    def ask(self, target: str, *words: str | Path) -> Done:
        return call(*words, *(("--server", self.address) if target == "server" else ("--data-dir", self.data)))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_folder() as home:
        files = ("--workflows", FIXTURES / "chain.yaml", "--workflows", FIXTURES / "waiting.yaml")
        words = ("--port", "0", "--data-dir", home / "data", *files, "--skills", FIXTURES / "links.py")
        with Program("dev", *words) as program:
            yield World(program.ready(), home / "data")
            assert program.stop() == 0


@pytest.fixture(params=["server", "data directory"])
def ask(request: pytest.FixtureRequest, world: World) -> Ask:
    """Asks a verb that must succeed."""

    def asked(*words: str | Path) -> Done:
        done = world.ask(request.param, *words)
        assert done.code == 0, done.err
        return done

    return asked


def finished(ask: Ask, file: Path, *words: str) -> str:
    """The id of a run of the chain that was watched to its end."""
    run_id = ask("trigger", "chain.v1", "--payload", json.dumps({"file": str(file)}), *words).out.strip()
    watched = ask("status", run_id, "--watch", "--json")
    assert watched.document["status"] == "completed"
    assert "step last completed" in watched.err or "step last skipped" in watched.err
    return run_id


def test_a_run_and_everything_that_is_told_of_it(ask: Ask, world: World, tmp_path: Path) -> None:
    run_id = finished(ask, tmp_path / "made", "--label", "who=me", "--priority", "3")

    assert len(ask("steps", run_id, "--status", "completed", "--json").document["steps"]) == 6
    copied = ask("artifacts", run_id, "--step", "third", "--download", tmp_path / "copies", "--json").document
    assert Path(copied["artifacts"][0]["path"]).read_text() == "third"


def test_both_answer_alike(world: World, tmp_path: Path) -> None:
    run_id = finished(lambda *words: world.ask("server", *words), tmp_path / "made", "--label", "what=alike")
    questions: list[tuple[str, ...]] = [
        ("status", run_id),
        ("steps", run_id),
        ("artifacts", run_id),
        ("history", run_id),
        ("runs", "list", "--label", "what=alike", "--limit", "1"),
        ("runs", "list", "--status", "failed"),
        ("workflows", "list"),
        ("workflows", "show", "chain.v1"),
        ("cache", "explain", run_id, "third"),
        ("update", run_id, "payload.patch", "--payload", '{"gate": null}', "--plan"),
    ]
    for question in questions:
        one, other = (world.ask(target, *question, "--json") for target in ("server", "data directory"))
        assert one.code == other.code == 0, one.err + other.err
        assert one.document == other.document, question


def test_whoami(ask: Ask) -> None:
    me = ask("whoami", "--json").document
    assert me["tenant"] == "default"
    assert me["role"] == "admin"
    assert me["expiresAt"] is None
    assert [line.split() for line in ask("whoami").out.splitlines()] == [
        ["tenant", "default"],
        ["name", *me["actor"].split()],
        ["role", "admin"],
        ["expires", "never"],
    ]


def test_changes(ask: Ask, tmp_path: Path) -> None:
    run_id = finished(ask, tmp_path / "made")
    change = ("update", run_id, "payload.patch", "--payload", json.dumps({"file": str(tmp_path / "other")}))
    plan = ask(*change, "--plan", "--json").document
    made = ask(*change, "--expect", plan["planHash"]).out.strip()
    assert ask("status", made, "--watch", "--json").document["baseRunId"] == run_id

    waiting = ask("trigger", "waiting.v1", "--json").document
    assert set(waiting) == {"runId", "status", "message"}
    cancelled = ask("cancel", waiting["runId"], "--reason", "changed my mind", "--json").document
    assert cancelled["status"] == "cancelled"
    again = ask("retry", waiting["runId"]).out.strip()
    assert ask("cancel", again, "--json").document["triggerType"] == "retry"


def test_a_run_for_each_line(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "files.jsonl"
    file.write_text(
        "".join(json.dumps({"file": str(tmp_path / f"made{n}")}) + "\n" for n in range(3)), encoding="utf-8"
    )
    ids = ask("trigger", "chain.v1", "--each", file, "--label", "each=line").out.split()
    assert len(set(ids)) == 3
    for number, run_id in enumerate(ids):
        assert ask("status", run_id, "--watch", "--json").document["triggerPayload"]["file"].endswith(f"made{number}")
    accepted = ask("trigger", "waiting.v1", "--each", file, "--json").document["runs"]
    assert [set(one) for one in accepted] == [{"runId", "status", "message"}] * 3
    for one in accepted:
        ask("cancel", one["runId"])


@pytest.mark.parametrize("target", ["server", "data directory"])
def test_of_lines_one_of_which_is_refused_no_run_is_made(world: World, target: str, tmp_path: Path) -> None:
    file = tmp_path / "files.jsonl"
    right = json.dumps({"file": "nowhere", "gate": "no such gate"})
    file.write_text("\n".join([*[right] * 2, '{"file": 1}', right]), encoding="utf-8")
    said = refused(world.ask(target, "trigger", "chain.v1", "--each", file, "--label", f"of={target[0]}"))
    assert "runs[2].triggerPayload.file: 1 is not of" in said
    assert world.ask(target, "runs", "list", "--label", f"of={target[0]}", "--json").document["runs"] == []


@pytest.mark.parametrize("target", ["server", "data directory"])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_what_was_accepted_before_a_later_part_was_refused_is_told(
    world: World, target: str, as_json: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "files.jsonl"
    large = [json.dumps({"file": str(tmp_path / f"made{n}"), "filler": "x" * 300_000}) for n in range(2)]
    file.write_text("\n".join([*large, '{"file": 1}']), encoding="utf-8")
    done = world.ask(target, "trigger", "chain.v1", "--each", file, *as_json)
    assert done.code == 1
    assert "1 of 3 runs were accepted; in the error below, runs[0] is payload 2" in done.err
    assert "runs[1].triggerPayload.file: 1 is not of" in done.err
    run_id = done.document["runs"][0]["runId"] if as_json else done.out.strip()
    assert world.ask(target, "status", run_id, "--watch").code == 0


def test_registering(ask: Ask, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = tmp_path / "more.yaml"
    version = "2.0.0" if "server" in request.node.callspec.id else "3.0.0"
    file.write_text((FIXTURES / "waiting.yaml").read_text().replace("1.0.0", version))
    assert f"waiting.v1 {version} registered" in ask("workflows", "register", file).out
    assert "same content" in ask("workflows", "register", file).out


def refused(done: Done) -> str:
    """Return what a verb said that was refused: one message, nothing on stdout, no traceback."""
    assert (done.code, done.out) == (1, ""), done.out
    assert done.err.startswith("error: ")
    assert done.err.count("error: ") == 1
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err
    return done.err


@pytest.mark.parametrize("target", ["server", "data directory"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trigger", "nothing.v1"), ["Unknown workflow nothing.v1", "workflows register"]),
        (("trigger", "chian.v1"), ["Unknown workflow chian.v1; did you mean 'chain.v1'?"]),
        (("trigger", "chain.v1", "--payload", '{"file": 1, "gate": 1}'), ["gate: 1 is not of", "file: 1 is not of"]),
        (("status", UNKNOWN), ["no run", "runs list"]),
        (("update", UNKNOWN, "payload.patch"), ["no run", "runs list"]),
        (("runs", "list", "--cursor", "nonsense"), ["cursor"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_users_get_wrong(world: World, target: str, words: tuple[str, ...], told: list[str]) -> None:
    said = refused(world.ask(target, *words))
    assert [each for each in told if each not in said] == []


def test_whom_to_ask_is_said_once(world: World, tmp_path: Path) -> None:
    server = {"ORCHESTRATOR_SERVER": world.address}
    listed = call("runs", "list", "--json", env=server)
    assert listed.code == 0, listed.err
    assert "cannot use the server" in refused(call("cache", "stats", env=server))
    here = call("cache", "stats", "--json", "--data-dir", world.data, env=server)
    assert here.code == 0, here.err
    both = ("--server", world.address, "--data-dir", world.data)
    assert "cannot both be given" in refused(call("runs", "list", *both))
    alone = refused(call("runs", "list", "--data-dir", world.data, "--key", "hush"))
    assert "--key needs a server" in alone
    assert "hush" not in alone


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "http://me:hush@127.0.0.1:1", "localhost:8000"])
def test_a_server_that_cannot_be_asked(server: str) -> None:
    said = refused(call("runs", "list", env={"ORCHESTRATOR_SERVER": server, "ORCHESTRATOR_KEY": "sesame"}))
    assert "--server" in said or "ORCHESTRATOR_SERVER" in said
    assert "hush" not in said
    assert "sesame" not in said


@pytest.mark.parametrize("target", ["server", "data directory"])
def test_a_name_that_stands_for_nothing_is_no_empty_answer(target: str, world: World, tmp_path: Path) -> None:
    run_id = finished(lambda *words: world.ask(target, *words), tmp_path / "made")
    here = world.data if target == "data directory" else None
    mistakes: list[tuple[tuple[str, ...], str]] = [
        (("artifacts", run_id, "--step", "thrid"), "Unknown step 'thrid'. Did you mean 'third'?"),
        (("artifacts", run_id, "--step", "zzz"), f"step 'zzz'. List its steps with `orchestrator steps {run_id}`."),
        (("runs", "list", "--workflow", "chian.v1"), "Unknown workflow 'chian.v1'. Did you mean 'chain.v1'?"),
    ]
    if here is not None:
        mistakes += [
            (("cache", "list", "--workflow", "chian.v1"), "did you mean 'chain.v1'?"),
            (("cache", "list", "--step", "thrid"), "did you mean 'third'?"),
            (("cache", "invalidate", "--workflow", "chain.v1", "--step", "frist"), "did you mean 'first'?"),
        ]
    for words, told in mistakes:
        done = world.ask(target, *words)
        assert done.code == 1, done.out
        assert done.out == ""
        assert told in done.err
    empty = world.ask(target, "artifacts", run_id, "--step", "first")
    assert empty.code == 0
    waiting = world.ask(target, "trigger", "waiting.v1").out.strip()
    none_yet = world.ask(target, "artifacts", waiting, "--step", "wait")
    assert (none_yet.code, none_yet.out) == (0, "no artifacts\n")
    assert world.ask(target, "cancel", waiting).code == 0


def test_a_server_with_a_worker_warns_of_skills_that_it_does_not_know(world: World) -> None:
    steps = [{"stepId": "a", "skillId": "chain.lnik"}, {"stepId": "b", "skillId": "chain.link"}]
    with Client(world.address) as client:
        made = client.register({"workflowName": "odd.v1", "version": "1", "steps": steps})
        assert made["new"] is True
        assert made["warnings"] == [
            {"path": "steps[0].skillId", "message": "unknown skill 'chain.lnik'; did you mean 'chain.link'?"}
        ]
