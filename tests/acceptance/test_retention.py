"""Retention in a terminal: archive, list, verify."""

import json
from pathlib import Path

import pytest

from tests.acceptance.programs import FIXTURES, call

CHAIN = FIXTURES / "chain.yaml"
SKILLS = ("--skills", FIXTURES / "links.py")


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def test_runs_are_archived_listed_and_verified(env: dict[str, str], home: Path) -> None:
    given = json.dumps({"file": str(home / "made")})
    run_id = call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env).document["id"]
    unsaid = call("retention", "apply", env=env)
    assert unsaid.code == 1
    assert "--older-than 90d" in unsaid.err
    for_the_cache = call("retention", "apply", "--older-than", "0s", "--dry-run", "--json", env=env).document
    assert (for_the_cache["runs"], for_the_cache["keptForCache"]) in {(0, 1), (0, 0)}  # it has the newest event
    assert call("cache", "prune", "--max-entries", "0", env=env).code == 0
    assert "1 run " in call("retention", "apply", "--older-than", "0s", "--dry-run", env=env).out
    done = call("retention", "apply", "--json", env={**env, "ORCHESTRATOR_RETENTION_DAYS": "0"}).document
    assert (done["runs"], done["keptForCache"], done["keptForRuns"], len(done["files"])) == (1, 0, 0, 1)
    (file,) = call("retention", "list", "--json", env=env).document["archives"]
    assert file["name"] == done["files"][0]
    assert file["name"] in call("retention", "list", env=env).out
    assert "all is well: 1 runs in 1 files" in call("retention", "verify", env=env).out
    shown = call("status", run_id, env=env)
    assert shown.code == 1
    assert "archived" in shown.err
    (home / "archive" / file["name"]).unlink()
    faults = call("retention", "verify", "--json", env=env)
    assert faults.code == 1
    assert "missing" in faults.document["findings"][0]["message"]
