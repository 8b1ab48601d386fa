"""Imports point one way, the domain is pure, the environment is read in one place, SQL stands in `.sql` files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, Module, modules

ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
IMPURE = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "time",
}  # fmt: skip
IMPURE_NAMES = {"uuid.uuid1", "uuid.uuid4"}
IMPURE_CALLS = {"open", "print", "input", "eval", "exec"}
SQL = re.compile(
    r"\bSELECT\b[\s\S]+\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\b[\s\S]+\bSET\b|\bDELETE\s+FROM\b"
    r"|\b(CREATE|ALTER|DROP|TRUNCATE)\s+(UNIQUE\s+|UNLOGGED\s+)?(TABLE|INDEX|FUNCTION|TRIGGER|SCHEMA|DATABASE)\b"
)


def impurities(module: Module) -> list[str]:
    imported = list(module.imports())
    return [
        *(name for name in imported if name.split(".")[0] in IMPURE or name in IMPURE_NAMES),
        *(name for name in module.calls() if name in IMPURE_CALLS),
    ]


def reads_environment(module: Module) -> list[str]:
    return sorted(ENVIRONMENT.intersection([*module.imports(), *module.attributes()]))


def sql(module: Module) -> list[str]:
    return [text for text in module.strings() if SQL.search(text)]


def test_imports_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Imports point down the house KEPT" in done.stdout


def test_every_room_has_its_place_in_the_house() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "orchestrator").glob("*/__init__.py")}
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    placed = set(re.findall(r"orchestrator\.(\w+)", contract.split("layers = [")[1].split("]")[0]))
    assert rooms <= placed


def test_the_domain_is_pure() -> None:
    domain = modules("src/orchestrator/domain")
    assert len(domain) > 5
    assert {module.name: found for module in domain if (found := impurities(module))} == {}


def test_only_the_settings_read_the_environment() -> None:
    readers = {module.name: found for module in modules("src") if (found := reads_environment(module))}
    assert all(name.startswith("src/orchestrator/settings/") for name in readers), readers


def test_no_sql_in_strings() -> None:
    assert {module.name: found for module in modules("src") if (found := sql(module))} == {}


@pytest.mark.parametrize(
    "text", ["import time", "from datetime import datetime", "from uuid import uuid4", "open('x')"]
)
def test_impurity_is_found(text: str) -> None:
    assert impurities(Module.of(text))


@pytest.mark.parametrize("text", ["import os\nos.environ['A']", "from os import getenv", "import os\nos.getenv('A')"])
def test_a_reader_of_the_environment_is_found(text: str) -> None:
    assert reads_environment(Module.of(text))


@pytest.mark.parametrize(
    "text",
    [
        "x = 'SELECT a\\nFROM b'",
        "x = f'INSERT INTO {t}'",
        "x = 'UPDATE t SET a = 1'",
        "x = 'DELETE FROM t'",
        "x = 'CREATE UNLOGGED TABLE t ()'",
    ],
)
def test_sql_is_found(text: str) -> None:
    assert sql(Module.of(text))


def test_words_about_sql_are_not_sql() -> None:
    assert not sql(Module.of('"""SELECT a FROM b is what `x` does."""\nx = "select the first from the list"'))
