"""Retention in a terminal: archive, list, verify."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import Databases
from tests.world.programs import FIXTURES, call

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
    assert "verified: 1 run in 1 file" in call("retention", "verify", env=env).out
    shown = call("status", run_id, env=env)
    assert shown.code == 1
    assert "archived" in shown.err
    (home / "archive" / file["name"]).unlink()
    faults = call("retention", "verify", "--json", env=env)
    assert faults.code == 1
    assert "missing" in faults.document["findings"][0]["message"]


def test_what_the_documents_call_a_backup_is_all_that_is_needed(
    env: dict[str, str], home: Path, tmp_path: Path, databases: Databases
) -> None:
    given = json.dumps({"file": str(home / "made")})
    old = call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env).document["id"]
    assert call("cache", "prune", "--max-entries", "0", env=env).code == 0
    assert call("retention", "apply", "--older-than", "0s", "--json", env=env).document["runs"] == 1
    new = call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env).document["id"]
    key = call("keys", "create", "bot", env=env).out

    copy = databases.create(urlsplit(env["ORCHESTRATOR_DATABASE_URL"]).path.removeprefix("/"))  # 1. Postgres
    for folder in ("artifacts", "archive"):  # 2. the artifact store, 3. the archive
        shutil.copytree(home / folder, tmp_path / folder)
    for file in home.iterdir():  # the machine is lost
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    for folder in ("artifacts", "archive"):
        shutil.copytree(tmp_path / folder, home / folder)
    restored = {**env, "ORCHESTRATOR_DATABASE_URL": databases.url(copy)}
    try:
        assert call("audit", "verify", "--json", env=restored).document["findings"] == []
        assert "verified: 1 run" in call("retention", "verify", env=restored).out
        assert "archived" in call("status", old, env=restored).err
        assert call("artifacts", new, "--download", tmp_path / "copies", env=restored).code == 0
        assert call("keys", "list", "--json", env=restored).document["keys"][0]["prefix"][:12] == key[:12]
        assert call("retry", new, env=restored).code == 1  # it completed, and that is known
        shutil.rmtree(home / "archive")
        assert call("audit", "verify", env=restored).code == 1, "the archive is part of it"
    finally:
        databases.drop(copy)
