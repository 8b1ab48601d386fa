"""`artifacts prune` removes what nothing names, beside workers, and keeps everything else."""

import json
import os
import time
from pathlib import Path

import pytest

from orchestrator.artifacts import ArtifactStore
from tests.world.programs import FIXTURES, Program, call

CHAIN = FIXTURES / "chain.yaml"
SKILLS = ("--skills", FIXTURES / "links.py")
TWO_DAYS = 2 * 86_400


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    # everything is spilled, so that data is content too
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_DATA_DIR": str(home),
        "ORCHESTRATOR_SPILL_BYTES": "0",
    }


def garbage(home: Path, content: bytes, *, age: float = TWO_DAYS, tenant: str = "default") -> Path:
    store = ArtifactStore(str(home / "artifacts"))
    path = store.local_path(store.put_bytes(tenant, content, type="x"))
    assert path is not None
    os.utime(path, (time.time() - age,) * 2)
    return path


def aged(home: Path) -> set[Path]:
    """Make everything in the store old, and return it."""
    found = {path for path in (home / "artifacts").rglob("*") if path.is_file()}
    for path in found:
        os.utime(path, (time.time() - TWO_DAYS,) * 2)
    return found


def test_garbage_goes_and_what_runs_name_stays(env: dict[str, str], home: Path) -> None:
    given = json.dumps({"file": str(home / "made")})
    run_id = call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env).document["id"]
    named = aged(home)
    assert len(named) == 12  # six files, and the data of six steps
    old, new = garbage(home, b"old garbage"), garbage(home, b"new garbage", age=60)
    of_another = garbage(home, b"old garbage", tenant="another")
    trial = call("artifacts", "prune", "--dry-run", env=env)
    assert "1 object (11 B) stored before" in trial.out
    assert "would be removed" in trial.out
    assert old.exists()
    done = call("artifacts", "prune", "--json", env=env).document
    assert {key: done[key] for key in ("tenant", "dryRun", "objects", "sizeBytes", "named", "tooNew")} == {
        "tenant": "default",
        "dryRun": False,
        "objects": 1,
        "sizeBytes": 11,
        "named": 12,
        "tooNew": 1,
    }
    assert [path.exists() for path in (old, new, of_another)] == [False, True, True]
    assert call("artifacts", "prune", "--older-than", "0s", "--json", env=env).document["objects"] == 1
    assert not new.exists()
    assert all(path.exists() for path in named)
    assert call("audit", "verify", "--json", env=env).document["findings"] == []
    # the verb that was there before goes on to work in every form
    assert len(call("artifacts", run_id, "--json", env=env).document["artifacts"]) == 6
    assert call("artifacts", "--step", "first", run_id, env=env).code == 0
    assert call("artifacts", "list", run_id, "--download", home / "copies", env=env).code == 0
    assert (home / "copies" / "first" / "first.txt").read_bytes() == b"first"


def test_what_only_the_cache_or_the_archive_names_stays(env: dict[str, str], home: Path) -> None:
    given = json.dumps({"file": str(home / "made")})
    call("run", CHAIN, "--payload", given, *SKILLS, "--json", env=env)
    call("cache", "prune", "--max-entries", "0", env=env)
    assert call("retention", "apply", "--older-than", "0s", "--json", env=env).document["runs"] == 1
    named = aged(home)
    assert call("artifacts", "prune", "--json", env=env).document["objects"] == 0
    (file,) = (home / "archive").rglob("*.parquet")
    file.rename(home / "elsewhere")
    refused = call("artifacts", "prune", env=env)
    assert refused.code == 1
    assert "archive file is missing" in refused.err
    assert "ORCHESTRATOR_ARCHIVE_URL" in refused.err
    assert all(path.exists() for path in named)


def test_beside_a_worker_nothing_is_removed_that_it_may_be_storing(env: dict[str, str], home: Path) -> None:
    assert call("workflows", "register", CHAIN, env=env).code == 0
    with Program("worker", *SKILLS, env=env) as worker:
        worker.ready()
        old = garbage(home, b"old garbage")
        refused = call("artifacts", "prune", "--older-than", "59m", env=env)
        assert refused.code == 1
        assert "1 worker is alive" in refused.err
        assert "1h or more" in refused.err
        assert call("artifacts", "prune", "--older-than", "1h", "--json", env=env).document["objects"] == 1
        assert not old.exists()
        assert worker.stop() == 0


def test_an_age_that_is_none_is_an_error(env: dict[str, str]) -> None:
    call("workflows", "register", CHAIN, env=env)
    refused = call("artifacts", "prune", "--older-than", "yesterday", env=env)
    assert refused.code == 1
    assert "Invalid age 'yesterday'" in refused.err
