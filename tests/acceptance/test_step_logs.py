"""What a skill prints and logs is kept per attempt, and shown by the API, the client and the command line."""

import gzip
import json
import re
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator import Client
from orchestrator.postgres.sql import load_sql
from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, call, command, environment

SQL = load_sql(__file__)
SKILLS = ("--skills", FIXTURES / "talking.py")
AT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SAID = [
    ("stderr", "to stderr"),
    ("log", "info said to the log bpm=90 mood='very calm'"),
    ("stdout", "in pieces: one, two"),
    ("stdout", "esc \x1b[31m red"),
    ("stdout", "30 %"),
]


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def said(lines: Any) -> list[tuple[str, str]]:
    return [(line["stream"], line["text"]) for line in lines]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_lines_are_kept_per_attempt_and_can_be_followed(
    executor: str, env: dict[str, str], home: Path, programs: ExitStack
) -> None:
    api = programs.enter_context(Program("api", "--port", "0", "--workflows", FIXTURES / "talking.yaml", env=env))
    worker = programs.enter_context(Program("worker", *SKILLS, "--executor", executor, env=env))
    server = api.ready()
    with Client(server) as client:
        run_id = client.trigger("talking.v1", {"go": str(home / "go")})["runId"]
        # Live: lines are there while the attempt still waits.
        eventually(lambda: ("stdout", "30 %") in said(client.logs(run_id, "thread")))
        assert client.run(run_id)["status"] == "running"
        following = subprocess.Popen(
            command(("logs", run_id, "--follow", "--server", server)),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        stream = client.logs(run_id, "thread", follow=True)
        assert next(stream)["text"] == "attempt 1"
        (home / "go").touch()
        lines = list(client.logs(run_id, "thread", attempt=2, follow=True))
        assert said(lines) == [("stdout", "attempt 2"), *SAID, ("stdout", "without an end")]
        assert all(AT.fullmatch(line["at"]) and line["attempt"] == 2 for line in lines)
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
        assert said(stream) == said(lines)  # the rest of the stream
        assert said(client.logs(run_id, "thread", attempt=1)) == [("stdout", "attempt 1")]
        for name in ("one", "two"):  # coroutines that take turns are told apart
            expected = [("stdout", f"loop {name} {number}") for number in [*range(20), "thread"]]
            assert said(client.logs(run_id, name)) == expected
        assert client.wait(run_id, timeout=60)["status"] == "completed"
        shown, _ = following.communicate(timeout=60)
        assert following.returncode == 0
        assert r"thread │ esc \x1b[31m red" in shown.splitlines()
        assert "one │ loop one 19" in shown.splitlines()
        assert shown.count("\n") == len(list(client.logs(run_id)))
        local = call("logs", run_id, env=env)
        assert local.out == shown, local.err
        document = call("logs", run_id, "thread", "--attempt", "2", "--json", env=env).document
        assert document == {"runId": run_id, "lines": lines}
        events = [event["type"] for event in client.history(run_id)]
        assert not any("Log" in event for event in events)
    # What a thread without the step's context prints goes to the process, the rest does not.
    assert "of a thread of its own" in worker.err
    assert "attempt 2" not in worker.err
    assert "said to the log" in worker.err
    assert worker.stop() == 0


def test_pages_and_streams_of_the_api(env: dict[str, str], home: Path, programs: ExitStack) -> None:
    (home / "go").touch()
    run = call("run", FIXTURES / "talking.yaml", *SKILLS, "--payload", json.dumps({"go": str(home / "go")}), env=env)
    assert run.code == 0, run.err
    assert "thread │ attempt 2" in run.err  # a run in a terminal shows what its skills print
    run_id = call("runs", "list", "--json", env=env).document["runs"][0]["id"]
    api = programs.enter_context(Program("api", "--port", "0", env=env))
    with httpx.Client(base_url=f"{api.ready()}/api/v1/runs/{run_id}", timeout=30) as http:
        first = http.get("/steps/thread/logs", params={"limit": 3}).json()
        assert said(first["lines"]) == [("stdout", "attempt 1"), ("stdout", "attempt 2"), SAID[0]]
        rest = http.get("/steps/thread/logs", params={"after": first["nextCursor"]}).json()
        assert (said(rest["lines"]), rest["nextCursor"], rest["cut"]) == (
            [*SAID[1:], ("stdout", "without an end")],
            None,
            0,
        )
        everything = http.get("/logs", params={"limit": 1000}).json()["lines"]
        assert {line["stepId"] for line in everything} == {"thread", "one", "two"}
        assert http.get("/logs", params={"stepId": "two"}).json()["lines"][0]["text"] == "loop two 0"
        streamed = http.get("/steps/thread/logs/stream").text
        ids = re.findall(r"^id: (\S+)$", streamed, re.MULTILINE)
        assert len(ids) == 8
        assert streamed.endswith("event: end\ndata: {}\n\n")
        later = http.get("/steps/thread/logs/stream", headers={"Last-Event-ID": ids[-2]}).text
        assert re.findall(r"^id: (\S+)$", later, re.MULTILINE) == ids[-1:]
        for path, why in (
            ("/steps/nobody/logs", "nobody"),
            ("/steps/thread/logs?after=x", "after"),
            ("/steps/thread/logs?limit=1001", "limit"),
            ("/steps/thread/logs?attempt=0", "attempt"),
        ):
            refused = http.get(path)
            assert (refused.status_code, why in refused.text) == (400, True), refused.text
    assert httpx.get(f"{api.ready()}/api/v1/runs/{'0' * 8}-0000-7000-8000-{'0' * 12}/logs").status_code == 404


def test_what_is_too_much_is_cut_and_said(env: dict[str, str], home: Path) -> None:
    flow = {
        "workflowName": "much",
        "version": "1",
        "steps": [{"stepId": "one", "skillId": "talking.much", "input": {"lines": "trigger.lines"}}],
    }
    (home / "much.json").write_text(json.dumps(flow))
    limited = {**env, "ORCHESTRATOR_STEP_LOG_BYTES": "1000"}
    run = call("run", home / "much.json", *SKILLS, "--payload", '{"lines": 500}', "--json", env=limited).document
    lines = call("logs", run["id"], "--json", env=env).document["lines"]
    assert lines[0]["text"] == "line 0"
    assert sum(len(line["text"]) + 1 for line in lines[:-1]) <= 1000
    said_last = f"[{500 - len(lines) + 1:,} lines were cut: the log of an attempt keeps 1,000 bytes]"
    assert (lines[-1]["stream"], lines[-1]["text"]) == ("log", said_last)
    off = {**env, "ORCHESTRATOR_STEP_LOG_BYTES": "0"}
    silent = call("run", home / "much.json", *SKILLS, "--payload", '{"lines": 501}', "--json", env=off)
    assert "line 500\n" in silent.err  # as if there were no logs
    assert call("logs", silent.document["id"], "--json", env=env).document["lines"] == []


def test_a_program_is_heard(env: dict[str, str], home: Path) -> None:
    (home / "skills.yaml").write_text(
        "skills:\n  - skillId: loud\n    kind: command\n    command: [/bin/sh, -c, 'echo oops >&2; echo \"{}\"']\n"
    )
    flow = {"workflowName": "loud", "version": "1", "steps": [{"stepId": "one", "skillId": "loud"}]}
    (home / "loud.json").write_text(json.dumps(flow))
    run = call("run", home / "loud.json", "--skills", home / "skills.yaml", "--json", env=env)
    assert run.code == 0, run.err
    found = call("logs", run.document["id"], "--json", env=env).document["lines"]
    assert sorted(said(found)) == [("stderr", "oops"), ("stdout", "{}")]


def test_a_killed_worker_loses_a_second_at_most(env: dict[str, str], home: Path, programs: ExitStack) -> None:
    programs.enter_context(Program("api", "--port", "0", "--workflows", FIXTURES / "talking.yaml", env=env)).ready()
    worker = programs.enter_context(Program("worker", *SKILLS, env=env))
    worker.ready()
    run_id = call("trigger", "talking.v1", "--payload", json.dumps({"go": str(home / "go")}), env=env).out.strip()
    eventually(lambda: "thread │ 30 %" in call("logs", run_id, env=env).out)
    worker.process.send_signal(signal.SIGKILL)
    worker.wait()
    assert ["in pieces: one, two" in text for text in call("logs", run_id, env=env).out.splitlines()].count(True) == 1


def test_retention_takes_logs_along(env: dict[str, str], home: Path) -> None:
    (home / "go").touch()
    given = json.dumps({"go": str(home / "go")})
    run_id = call("run", FIXTURES / "talking.yaml", *SKILLS, "--payload", given, "--json", env=env).document["id"]
    lines = call("logs", run_id, "--json", env=env).document["lines"]
    assert call("workflows", "register", FIXTURES / "chain.yaml", env=env).code == 0  # the newest event stays
    done = call("retention", "apply", "--older-than", "0s", "--json", env=env).document
    assert done["runs"] == 1
    (name,) = done["files"]
    beside = home / "archive" / name.replace(".parquet", ".logs.jsonl.gz")
    archived = [json.loads(line) for line in gzip.decompress(beside.read_bytes()).splitlines()]
    assert archived == [{"runId": run_id, **line} for line in lines]
    refused = call("logs", run_id, env=env)
    assert (refused.code, "archived" in refused.err) == (1, True)
    with psycopg.connect(env["ORCHESTRATOR_DATABASE_URL"]) as connection:
        assert connection.execute(SQL.rows).fetchone() == (0,)
