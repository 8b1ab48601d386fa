"""The example of a custom read model, installed as a package and used as docs/projections.md shows."""

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from orchestrator.postgres.sql import load_sql
from tests.acceptance.readme import write_example
from tests.waiting import eventually
from tests.world.programs import ROOT, Program, call

SQL = load_sql(__file__)
DOCUMENT = (ROOT / "docs" / "projections.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "skill_seconds"


@pytest.fixture
def env(database_url: str, home: Path, tmp_path: Path) -> dict[str, str]:
    """Settings of a program for which the example is installed."""
    source, packages = tmp_path / "source", tmp_path / "packages"
    shutil.copytree(EXAMPLE, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    words = [*pip, "--no-build-isolation", "--quiet", "--target", str(packages), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "PYTHONPATH": str(packages),
    }


def query(env: dict[str, str], statement: str) -> list[Any]:
    with psycopg.connect(env["ORCHESTRATOR_DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def listed(env: dict[str, str]) -> dict[str, Any]:
    found = call("projections", "list", "--json", env=env).document["projections"]
    return {one["name"]: one for one in found}["skill_seconds"]


def test_a_check_lists_the_tables_that_are_due(env: dict[str, str]) -> None:
    check = call("migrate", "--check", env=env)
    assert check.code == 1
    assert check.out == "would create or update the table of the read model skill_seconds\n"
    assert call("migrate", "--check", "--json", env=env).document["tables"] == ["skill_seconds"]
    assert call("migrate", env=env).code == 0
    assert call("migrate", "--check", env=env).code == 0


def test_the_example_is_filled_broken_rebuilt_and_verified(env: dict[str, str], home: Path) -> None:
    write_example(home)
    words = ("dev", "--port", "0", "--workflows", home / "hello.yaml", "--skills", home / "hello.py")
    with Program(*words, env=env) as program:
        server = {"ORCHESTRATOR_SERVER": program.ready()}
        for client, name in (("acme", "Ada"), ("acme", "Bob"), ("zeta", "Eve")):
            payload = f'{{"name": "{name}"}}'
            ran = call("trigger", "hello.v1", "--payload", payload, "--label", f"client={client}", env=server)
            assert ran.code == 0, ran.err
            assert call("status", ran.out.strip(), "--watch", env=server).code == 0
        eventually(lambda: listed(env)["lagEvents"] == 0)
        found = httpx.get(f"{server['ORCHESTRATOR_SERVER']}/api/v1/projections").json()["projections"]
        assert "skill_seconds" in [one["name"] for one in found]
    day = datetime.now(UTC).date()
    per_day = query(env, SQL.per_day)
    assert [(client, skill, attempts) for client, _, skill, attempts, _ in per_day] == [
        ("acme", "text.greet", 2),
        ("acme", "text.print", 2),
        ("zeta", "text.greet", 1),
        ("zeta", "text.print", 1),
    ]
    assert all(abs((day - then).days) <= 1 and seconds >= 0 for _, then, _, _, seconds in per_day)
    assert call("projections", "verify", "skill_seconds", env=env).code == 0

    query(env, SQL.spoil)
    found = call("projections", "verify", "skill_seconds", env=env)
    assert found.code == 1
    assert "2 rows differ from the log" in found.out
    (report,) = call("projections", "rebuild", "skill_seconds", "--json", env=env).document["reports"]
    assert sorted(one["kind"] for one in report["differences"]) == ["changed", "extra"]
    (changed,) = [one for one in report["differences"] if one["kind"] == "changed"]
    assert changed["columns"]["client"] == {"live": "nobody", "rebuilt": "zeta"}
    assert call("projections", "verify", "--all", env=env).code == 0
    assert query(env, SQL.per_day) == per_day


def test_one_that_cannot_be_loaded_is_shown_as_stopped(env: dict[str, str]) -> None:
    module = Path(env["PYTHONPATH"]) / "skill_seconds.py"
    module.write_text("import no_such_library\n")
    assert listed(env)["state"] == "stopped"
    shown = call("projections", "list", env=env)
    assert (shown.code, "no_such_library" in shown.out) == (0, True)
    refused = call("projections", "rebuild", "skill_seconds", env=env)
    assert (refused.code, "importing skill_seconds:SkillSeconds failed" in refused.err) == (1, True)
    assert call("projections", "verify", "runs", env=env).code == 0


def test_the_document_shows_what_the_example_does() -> None:
    (python,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert toml in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    documented: dict[str, Any] = {}
    example: dict[str, Any] = {}
    exec(compile(python, "projections.md", "exec"), documented)
    exec(compile((EXAMPLE / "skill_seconds.py").read_text(encoding="utf-8"), "skill_seconds.py", "exec"), example)
    ours, theirs = documented["SkillSeconds"], example["SkillSeconds"]
    assert (ours.columns, ours.key, ours.schema) == (theirs.columns, theirs.key, theirs.schema)
