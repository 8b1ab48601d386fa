"""Secrets of skills in the real program: used where they are declared, found nowhere else."""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import psycopg
import pytest

from orchestrator.postgres.sql import load_sql
from tests.world.programs import FIXTURES, Program, Site, call

SQL = load_sql(__file__)
SECRET = 'tok/3n+Zx"9q==with a long end'
FORMS = [
    form.encode()
    for form in (
        SECRET,
        json.dumps(SECRET)[1:-1],
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        *(base64.b64encode(bytes(at) + SECRET.encode()).decode()[4:-4] for at in range(3)),
        SECRET[:12],
        SECRET[-12:],
    )
]
SHOW = f"""
import base64, json, os, sys, urllib.parse
way, token = sys.argv[1], os.environ["API_TOKEN"]
document = json.load(sys.stdin)
if way == "uses":
    print(json.dumps({{"characters": len(token)}}))
elif way == "leaks":
    print(json.dumps(dict(os.environ)))
else:
    sys.stderr.write((token + "\\n") * {2100 // len(SECRET) * 2})  # more than is kept, so that one is cut
    print(dict(os.environ), base64.b64encode(b"u:" + token.encode()), urllib.parse.quote(token), file=sys.stderr)
    sys.exit(3)
"""


class Echo(BaseHTTPRequestHandler):
    """Answers as the last word of the path says, with what it received."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path)
        received = {"headers": dict(self.headers), "query": parse_qs(url.query), "path": self.path}
        way = url.path.rpartition("/")[2]
        if way == "fails":
            basic = base64.b64encode(f"user:{SECRET}".encode()).decode()
            self.answer(400, {"you sent": received, "basic": basic, "more": [SECRET] * 200})
        elif way == "leaks":
            self.answer(200, {"data": received})
        else:
            right = received["headers"]["Authorization"] == f"Bearer {SECRET}"
            self.answer(200, {"data": {"right": right and received["query"] == {"key": [SECRET]}}})

    def answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def env(database_url: str, home: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_SECRETS_DIR": str(tmp_path / "secrets"),
    }


def declare(folder: Path, *skills: dict[str, Any]) -> Path:
    """Write declarations of skills."""
    file = folder / "declared.json"
    file.write_text(json.dumps({"skills": skills}))
    return file


def define(folder: Path, *skills: str) -> Path:
    """Write a workflow of one step for each skill, and return their folder."""
    workflows = folder / "workflows"
    workflows.mkdir()
    for skill in skills:
        step = {"stepId": "only", "skillId": skill, "input": {"way": "trigger.way"}}
        (workflows / f"{skill}.json").write_text(json.dumps({"workflowName": skill, "version": "1", "steps": [step]}))
    return workflows


def http(echo: str, way: str) -> dict[str, Any]:
    url = f"{echo}/{way}?key=${{secret:TOKEN}}"
    return {
        "skillId": f"http.{way}",
        "kind": "http",
        "url": url,
        "headers": {"Authorization": "Bearer ${secret:TOKEN}"},
    }


def program(way: str) -> dict[str, Any]:
    command = [sys.executable, "-c", SHOW, way]
    return {"skillId": f"command.{way}", "kind": "command", "command": command, "env": {"API_TOKEN": "${secret:TOKEN}"}}


def contents(database_url: str, folder: Path) -> dict[str, bytes]:
    """Return all that is in the tables, and in the files below a folder."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with psycopg.connect(database_url) as connection:
        tables = [name for (name,) in connection.execute(SQL.tables.encode())]
        assert len(tables) > 10
        for table in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copied:
                found[table] = b"".join(map(bytes, copied))
    return found


def leaks(contents: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(name, form) for name, content in contents.items() for form in FORMS if form in content]


@pytest.mark.parametrize(("executor", "source"), [("thread", "variable"), ("process", "file")])
def test_a_secret_is_used_and_found_nowhere(
    env: dict[str, str], home: Path, tmp_path: Path, programs: ExitStack, echo: str, executor: str, source: str
) -> None:
    ways = ("uses", "fails", "leaks")
    declared = [*(http(echo, way) for way in ways), *(program(way) for way in ways)]
    written = ["python.uses", "python.tells", "python.tells_async"]
    words: list[str | Path] = ["dev", "--port", "0", "--skills", FIXTURES / "keeping.py"]
    words += ["--skills", declare(tmp_path, *declared)]
    words += ["--workflows", define(tmp_path, *(one["skillId"] for one in declared), *written)]
    if source == "variable":
        env["ORCHESTRATOR_SECRET_TOKEN"] = SECRET
    else:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "TOKEN").write_text(f"{SECRET}\n")
    env |= {"ORCHESTRATOR_EXECUTOR": executor, "ORCHESTRATOR_LOG_LEVEL": "debug"}
    running = programs.enter_context(Program(*words, env=env))
    address = running.ready()
    site = programs.enter_context(Site(address))
    shown: dict[str, bytes] = {}

    def ran(skill: str, way: str = "") -> Any:
        """Run a skill and return its data or its error."""
        run_id = site.trigger(skill, {"way": way})
        run = site.ended(run_id)
        shown[f"run of {skill} {way}"] = json.dumps([run, site.events(run_id)], ensure_ascii=False).encode()
        if skill.endswith("fails"):
            steps = call("steps", run_id, env={"ORCHESTRATOR_SERVER": address})
            assert "***" in steps.out
            shown[f"steps of {skill}"] = steps.out.encode()
        last = site.events(run_id)[-2]["data"]
        return last.get("error", last)

    assert ran("http.uses")["output"]["data"] == {"right": True}
    assert ran("command.uses")["output"]["data"] == {"characters": len(SECRET)}
    assert ran("python.uses")["output"]["data"] == {"characters": len(SECRET)}

    refused = ran("http.fails")
    assert (refused["code"], refused["details"]["status"]) == ("SKILL_EXECUTION_FAILED", 400)
    assert "Bearer ***" in refused["message"]
    assert '"Authorization": "Bearer ***"' in refused["details"]["body"]
    failed = ran("command.fails")
    assert failed["details"]["exitCode"] == 3
    assert "'API_TOKEN': '***'" in failed["details"]["stderr"]
    for skill in ("http.leaks", "command.leaks"):
        assert ran(skill)["code"] == "SECRET_IN_OUTPUT"
    for skill in ("python.tells", "python.tells_async"):
        leaking = ran(skill, "return")
        assert (leaking["code"], leaking["retryable"]) == ("SECRET_IN_OUTPUT", False)
        assert leaking["details"] == {"secrets": ["TOKEN"], "path": "$.data.nested[0].token"}
        assert "contains the secret TOKEN at $.data.nested[0].token" in leaking["message"]
        assert ran(skill, "artifact")["details"]["path"] == "$.artifacts[0].metadata.token"
        assert "no service takes *** or " in ran(skill, "raise")["message"]
        own = ran(skill, "fail")
        assert (own["code"], own["message"]) == ("NO ***", "no ***")
        assert own["details"]["***"][1] == {"a": "***"}

    assert running.stop() == 0
    assert "logged ***" in running.err + running.out
    assert "with the standard library: ***" in running.err
    shown |= {"stdout": running.out.encode(), "stderr": running.err.encode()}
    assert leaks({**shown, **contents(env["ORCHESTRATOR_DATABASE_URL"], home)}) == []


def test_a_missing_secret_is_refused_at_start(env: dict[str, str], home: Path, tmp_path: Path, echo: str) -> None:
    skills = declare(tmp_path, http(echo, "uses"), program("uses"))
    workflows = define(tmp_path, "command.uses")
    looked = (
        "secret TOKEN was not found; looked for the variable ORCHESTRATOR_SECRET_TOKEN "
        f"and the file {tmp_path / 'secrets' / 'TOKEN'}"
    )
    for words in (
        ("dev", "--port", "0"),
        ("worker",),
        ("run", workflows / "command.uses.json"),
    ):
        done = call(*words, "--skills", skills, env=env)
        assert (done.code, done.out) == (1, "")
        assert done.err.splitlines() == [
            f"error: skill http.uses: url: {looked}",
            f"skill http.uses: headers.Authorization: {looked}",
            f"skill command.uses: env.API_TOKEN: {looked}",
        ]
    checked = call("workflows", "validate", "--skills", skills, workflows / "command.uses.json", env=env)
    assert checked.code == 0, "checking a file needs no secret"


def test_a_value_that_cannot_be_sent_is_refused_at_start(env: dict[str, str], tmp_path: Path, echo: str) -> None:
    env["ORCHESTRATOR_SECRET_TOKEN"] = "two\nlines that nobody may see"
    done = call("worker", "--skills", declare(tmp_path, http(echo, "uses")), env=env)
    assert done.code == 1
    assert "the value of Authorization must be printable ASCII on one line" in done.err
    assert "nobody may see" not in done.err


def test_other_placeholders_are_warned_about(env: dict[str, str], home: Path, tmp_path: Path) -> None:
    skill = {"skillId": "test.home", "kind": "command", "command": ["/bin/true"], "env": {"PLACE": "${HOME}/x"}}
    file = define(tmp_path, "test.home") / "test.home.json"
    done = call("run", file, "--skills", declare(tmp_path, skill), env=env)
    assert done.code == 0, done.err
    (line,) = [json.loads(line) for line in done.err.splitlines() if "placeholder" in line or "${" in line]
    assert line["level"] == "warning"
    assert line["message"] == (
        "skill test.home: env.PLACE contains ${HOME}, which is used as it is; a secret is written ${secret:NAME}"
    )


def test_a_provider_of_a_package_is_asked(env: dict[str, str], home: Path, tmp_path: Path) -> None:
    """Also from a child process."""
    packages = tmp_path / "packages"
    about = packages / "studio_vault-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: studio-vault\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[orchestrator.secrets]\nvault = studio_vault:Vault\n")
    (packages / "studio_vault.py").write_text(
        f"class Vault:\n    def get(self, name):\n        return {{'TOKEN': {SECRET!r}}}.get(name)\n"
    )
    env |= {"PYTHONPATH": str(packages), "ORCHESTRATOR_EXECUTOR": "process"}
    file = define(tmp_path, "python.uses") / "python.uses.json"
    skills = ("--skills", FIXTURES / "keeping.py", "--skills", declare(tmp_path, program("uses")))
    done = call("run", file, *skills, "--json", env=env)
    assert done.code == 0, done.err
    assert (
        leaks({"out": done.out.encode(), "err": done.err.encode(), **contents(env["ORCHESTRATOR_DATABASE_URL"], home)})
        == []
    )
