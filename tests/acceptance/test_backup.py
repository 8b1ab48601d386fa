"""Backups as docs/backup.md describes them: made while the program works, restored in another place, and proven."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import Client
from orchestrator.postgres.embedded import binaries
from orchestrator.postgres.embedded.account import Account
from orchestrator.postgres.embedded.server import STATE_DIR
from tests.servers import Databases
from tests.waiting import eventually
from tests.world.programs import FIXTURES, ROOT, Program, call, started

SERVE = ("--workflows", FIXTURES / "keeper.yaml", "--skills", FIXTURES / "keeper.py", "--port", "0")
GIVEN = {"files": ["a.txt", "b.txt"], "characters": 5_000_000}
GUIDE = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")


@pytest.fixture
def restored(databases: Databases) -> Iterator[str]:
    """The address of an empty database."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


def postgres(program: str, *words: str | Path) -> None:
    """Run a program of Postgres with words that the guide has."""
    options = [word for word in map(str, words) if word.startswith("--")]
    assert [word for word in options if word.partition("=")[0] not in GUIDE] == []
    path = binaries.programs(Account.current(), STATE_DIR) / program
    done = subprocess.run([path, *map(str, words)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def events(run_id: str, env: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("history", run_id, "--json", env=env).document["events"]
    return found


def reasons(client: Client, run_id: str) -> dict[str, str | None]:
    assert client.wait(run_id, timeout=60)["status"] == "completed"
    return {step["stepId"]: step["hitReason"] for step in client.steps(run_id)}


def test_a_backup_is_restored_in_another_place(
    database_url: str, restored: str, home: Path, tmp_path: Path, programs: ExitStack
) -> None:
    here = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home / "here")}
    there = {
        "ORCHESTRATOR_DATABASE_URL": restored,
        "ORCHESTRATOR_DATA_DIR": str(home / "there"),
        "ORCHESTRATOR_ARTIFACT_URL": (tmp_path / "bucket" / ".." / "bucket" / "prefix").as_uri(),
    }
    first = programs.enter_context(Program("dev", *SERVE, env=here))
    with Client(first.ready()) as client:
        made = client.wait(client.trigger("keeper.v1", GIVEN)["runId"], timeout=60)
        assert client.step_data(made["id"], "read")["characters"] == GIVEN["characters"]  # a selector read 5 MB

    postgres("pg_dump", "--format=custom", "--schema=orchestrator", f"--file={tmp_path / 'dump'}", database_url)
    with Client(first.ready()) as client:  # work goes on while the store is copied: the copy is younger
        client.wait(client.trigger("keeper.v1", {**GIVEN, "files": ["c.txt"]})["runId"], timeout=60)
    shutil.copytree(home / "here" / "artifacts", tmp_path / "bucket" / "prefix")
    history = events(made["id"], here)
    first.kill()
    shutil.rmtree(home / "here")  # the machine is lost

    postgres("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", tmp_path / "dump")
    proof = call("audit", "verify", "--json", env=there)
    assert (proof.code, proof.document["findings"]) == (0, []), proof.err
    rebuilt = call("projections", "rebuild", "--all", env=there)
    assert rebuilt.code == 0, rebuilt.err
    assert events(made["id"], there) == history
    copied = call("artifacts", made["id"], "--download", tmp_path / "copies", env=there)
    assert copied.code == 0, copied.err
    assert (tmp_path / "copies" / "make" / "a.txt").read_text() == "content of a.txt"

    second = programs.enter_context(Program("dev", *SERVE, env=there))
    with Client(second.ready()) as client:
        assert reasons(client, client.trigger("keeper.v1", GIVEN)["runId"]) == {"make": "cache", "read": "cache"}
        assert client.step_data(made["id"], "make") == {"text": "x" * GIVEN["characters"]}  # type: ignore[operator]
        again = client.wait(client.trigger("keeper.v1", {**GIVEN, "files": ["c.txt"]})["runId"], timeout=60)
        assert again["status"] == "completed"  # what the dump does not know is done again, over what the store has
    assert second.stop() == 0
    assert call("audit", "verify", env=there).code == 0


def test_a_run_that_the_dump_shows_at_work_goes_on_where_it_is_restored(
    database_url: str, restored: str, home: Path, tmp_path: Path, programs: ExitStack
) -> None:
    chain = (*("--workflows", FIXTURES / "chain.yaml"), *("--skills", FIXTURES / "links.py"), "--port", "0")
    here = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home / "here")}
    there = {"ORCHESTRATOR_DATABASE_URL": restored, "ORCHESTRATOR_DATA_DIR": str(home / "there")}
    first = programs.enter_context(Program("dev", *chain, env=here))
    with Client(first.ready()) as client:
        run_id = client.trigger("chain.v1", {"file": str(home / "made"), "gate": str(home / "gate")})["runId"]
        eventually(lambda: started(list(client.history(run_id))).get("second"), what=first.err)
    postgres("pg_dump", "--format=custom", "--schema=orchestrator", f"--file={tmp_path / 'dump'}", database_url)
    first.kill()
    shutil.move(home / "here", home / "there")
    (home / "gate").touch()
    postgres("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", tmp_path / "dump")
    second = programs.enter_context(Program("dev", *chain, env=there))
    with Client(second.ready()) as client:
        assert client.wait(run_id, timeout=90)["status"] == "completed"
        history = list(client.history(run_id))
    assert "RunRecovered" in [event["type"] for event in history]
    assert (started(history)["first"], started(history)["second"]) == (1, 2)


def test_a_data_directory_with_its_postgres_is_copied_and_moved(home: Path, programs: ExitStack) -> None:
    """No settings at all: the database is in the data directory, and is stopped before it is moved."""
    old, new = home / "old", home / "new"
    first = programs.enter_context(Program("dev", *SERVE, "--data-dir", old))
    with Client(first.ready()) as client:
        made = client.wait(client.trigger("keeper.v1", GIVEN)["runId"], timeout=60)["id"]
    first.kill()
    assert call("status", made, "--data-dir", old).code == 0  # the last one to leave stops the server
    assert not (old / "postgres" / "postmaster.pid").exists()
    shutil.move(old, new)
    second = programs.enter_context(Program("dev", *SERVE, "--data-dir", new))
    with Client(second.ready()) as client:
        assert reasons(client, client.trigger("keeper.v1", GIVEN)["runId"]) == {"make": "cache", "read": "cache"}
    assert second.stop() == 0
    verified = call("audit", "verify", "--data-dir", new)
    assert verified.code == 0, verified.out
