"""Every verb explains itself, and its help does not wait for what it needs."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from orchestrator.cli.app import app


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield words, command
        return
    for name, child in children.items():
        yield from verbs(child, (*words, name))


VERBS = dict(verbs(typer.main.get_command(app)))


def test_the_verbs_are_those_we_promise() -> None:
    assert {" ".join(words) for words in VERBS} == {
        "dev",
        "api",
        "worker",
        "pull-worker",
        "step",
        "projector",
        "migrate",
        "health",
        "demo",
        "run",
        "trigger",
        "update",
        "retry",
        "cancel",
        "wait",
        "outputs",
        "status",
        "steps",
        "artifacts list",
        "artifacts prune",
        "logs",
        "history",
        "whoami",
        "replay",
        "diff",
        "runs list",
        "runs delete",
        "workflows list",
        "workflows show",
        "workflows validate",
        "workflows register",
        "workflows retire",
        "workflows restore",
        "cache stats",
        "cache list",
        "cache explain",
        "cache invalidate",
        "cache prune",
        "keys create",
        "keys list",
        "keys revoke",
        "projections list",
        "projections rebuild",
        "projections verify",
        "projections retry",
        "projections skip",
        "audit verify",
        "audit head",
        "audit export",
        "audit import",
        "audit keygen",
        "retention apply",
        "retention list",
        "retention verify",
        "version",
    }


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_has_an_example_of_the_verb(words: tuple[str, ...]) -> None:
    assert f"Example: orchestrator {' '.join(words)}" in VERBS[words].help


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    assert [option.name for option in VERBS[words].params if not option.help] == []


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_what_answers_can_answer_in_json(words: tuple[str, ...]) -> None:
    serves = words in {("dev",), ("api",), ("worker",), ("projector",), ("pull-worker",), ("step",)}
    assert serves or "--json" in [name for option in VERBS[words].params for name in option.opts]


def test_the_verbs_import_nothing_heavy() -> None:
    heavy = ("pydantic", "psycopg", "fastapi", "uvicorn", "structlog", "jsonschema", "httpx", "rich.console")
    assert imported_by("orchestrator.cli.app", heavy) == []


@pytest.mark.slow
def test_a_process_goes_on_after_a_crash_before_it_imports_what_only_requests_need() -> None:
    """Python's imports are most of the time until the first step begins again."""
    later = ("starlette", "fastapi", "uvicorn", "httpx", "yaml", "jsonschema", "pyarrow", "redis", "cryptography")
    ours = ("orchestrator.workflows.document", "orchestrator.audit.audit", "orchestrator.retention")
    assert imported_by("orchestrator.cli.serving.server", later + ours) == []


def imported_by(module: str, names: tuple[str, ...]) -> list[str]:
    script = f"import {module}, sys; print(*(name for name in {names!r} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
