"""The documents name everything there is, and nothing they link to is missing."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.routing import APIRoute
from typer.core import TyperGroup

import orchestrator
from orchestrator.domain.errors import DomainError
from orchestrator.settings import PREFIX, Settings
from orchestrator.skills.errors import SkillError
from tests.architecture.sources import DOCS, ROOT, Module, files

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *files("docs", suffix=".md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"[A-Z]{2,}(_[A-Z]+)+")


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def missing(names: list[str], text: str) -> list[str]:
    """Return the names that a text does not hold in backticks, alone or at the beginning."""
    return [name for name in names if not re.search(rf"`{re.escape(name)}(`|[ =])", text)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(document: Path, text: str) -> list[str]:
    broken = []
    for target in LINK.findall(FENCED.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve()
        there = text if not name else file.read_text(encoding="utf-8") if file.is_file() else ""
        if (name and not file.exists()) or (anchor and anchor not in anchors(there)):
            broken.append(target)
    return broken


def verbs() -> dict[str, Any]:
    """Return the commands of the command line by how they are called, without those that only group others."""
    from orchestrator.cli.app import app

    found: dict[str, Any] = {}
    open_groups: list[tuple[str, Any]] = [("orchestrator", typer.main.get_command(app))]
    while open_groups:
        name, command = open_groups.pop()
        if isinstance(command, TyperGroup):
            open_groups += [(f"{name} {verb}", below) for verb, below in command.commands.items()]
        else:
            found[name] = command
    return found


def routes() -> list[str]:
    """Return `METHOD path` of every call that the OpenAPI document shows."""
    from orchestrator.api.app import ROUTERS

    return sorted(
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in route.methods
    )


def error_codes() -> set[str]:
    """Return every code of an error: those of the classes, and those that stand in files named `errors.py`."""
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if module.name.endswith((".errors", ".codec")):
            importlib.import_module(module.name)
    kinds: list[type[DomainError]] = [DomainError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    written = {
        text
        for path in files("src")
        if path.name == "errors.py"
        for text in Module.read(path).strings()
        if CODE.fullmatch(text) and not text.startswith(PREFIX)
    }
    return {kind.code for kind in kinds if kind is not DomainError} | (written - {DomainError.code})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document, document.read_text(encoding="utf-8")) == []


def test_every_document_is_in_the_table_of_documents() -> None:
    linked = {(ROOT / target).resolve() for target in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    linked |= {(DOCS / "decisions" / target).resolve() for target in LINK.findall(read("decisions/README.md"))}
    assert [path.name for path in files("docs", suffix=".md") if path.resolve() not in linked] == []


def test_every_verb_and_option_of_the_command_line_is_documented() -> None:
    text = read("cli.md")
    commands = verbs()
    assert missing(list(commands), text) == []
    options = {
        name
        for command in commands.values()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden
        for name in parameter.opts
        if name.startswith("--")
    }
    assert missing(sorted(options), text) == []


def test_every_call_over_http_is_documented() -> None:
    calls = routes()
    assert "POST /api/v1/runs" in calls
    assert missing(calls, read("http-api.md")) == []


def test_every_target_of_make_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"help", "install", "demo", "test", "check", "bench"} <= set(targets)
    assert missing([f"make {target}" for target in targets], (ROOT / "README.md").read_text(encoding="utf-8")) == []


def test_every_setting_is_documented_with_its_default() -> None:
    lines = {line.split("`")[1]: line for line in read("configuration.md").splitlines() if line.startswith("| `")}
    variables = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert set(lines) == set(variables)
    wrong = [
        name
        for name, field in variables.items()
        if isinstance(field.default, str | int | float | Path)
        and not isinstance(field.default, bool)
        and f"| `{field.default}" not in lines[name]
    ]
    assert wrong == []


def test_every_error_code_is_documented() -> None:
    codes = error_codes()
    assert {"RUN_NOT_FOUND", "SKILL_TIMEOUT", "ARTIFACT_GONE"} <= codes
    assert issubclass(SkillError, Exception)
    assert missing(sorted(codes), read("errors.md")) == []


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    assert missing(["make a", "make b", "--c"], "`make a` and `make bc`, `--c N`") == ["make b"]
    text = "# A title: `it`\n[a](#a-title-it) [b](#b) [c](none.md) [d](https://x.y/z)\n```\n[e](f)\n```\n"
    assert broken_links(tmp_path / "x.md", text) == ["#b", "none.md"]
