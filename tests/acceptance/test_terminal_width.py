"""On a narrow terminal nothing is cut, and no id is broken over two lines."""

import re
from pathlib import Path

import pytest

from tests.acceptance.terminals import shown
from tests.world.programs import FIXTURES, call

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

DIGIT = re.compile(r"[0-9]")
LEAST = 50  # what click takes as the width of a terminal that is narrower


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def test_ids_are_never_broken_and_nothing_is_cut(env: dict[str, str], home: Path) -> None:
    payload = f'{{"file": "{home / "made"}"}}'
    run = ("run", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--payload", payload)
    first = call(*run, "--label", "client=acme-of-far-away", "--json", env=env).document["id"]
    again = call(*run, "--json", env=env).document["id"]  # its steps name the first run
    failed = call(*run[:-1], f'{{"file": "{home / "made"}", "breaks": true}}', "--json", env=env).document["id"]
    words = {
        "runs list": {first, again, failed},
        f"status {first}": {first},
        f"steps {again}": {first},
        f"history {again}": set(),
        f"artifacts {again}": set(),
        f"replay {again}": {again, first},
        f"diff {first} {again}": {first, again},
        "cache list": {first},
        "workflows list": set(),
        "workflows show chain.v1": set(),
        "projections list": set(),
    }
    for verb, ids in words.items():
        wide = call(*verb.split(), env=env).out
        for columns in (80, 40):
            told = shown(*verb.split(), columns=columns, env=env)
            assert "error:" not in told, told
            assert ids <= set(UUID.findall(told)), (verb, told)
            assert "…" not in told
            broken = [word for word in wide.split() if DIGIT.search(word) and word not in told]
            assert broken == [], (verb, columns, told)


def test_help_is_never_cut() -> None:
    for words in ((), ("keys",), ("cache",), ("workflows",), ("audit",), ("projections",), ("retention",)):
        for columns in (80, 40):
            told = shown(*words, "--help", columns=columns)
            assert "..." not in told.replace("[ARGS]...", "").replace("FILE...", "")
            assert max(len(line) for line in told.splitlines()) <= max(columns, LEAST)
