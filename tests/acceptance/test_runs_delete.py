"""`runs delete`: nothing is left of a run but a tombstone, and everything can still be proved."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from orchestrator.client import Client
from orchestrator.client.errors import ApiError, Conflict, InvalidRequest, NotAllowed, RunDeleted
from orchestrator.postgres.sql import load_sql
from tests.world.programs import FIXTURES, Program, call

CHAIN = FIXTURES / "chain.yaml"
SKILLS = ("--skills", FIXTURES / "links.py")
STATEMENTS = load_sql(__file__)
MARKER = "marker-of-jane-doe"


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def dumped(database_url: str) -> Iterator[tuple[str, str]]:
    """Yield every row of every table, as text."""
    with psycopg.connect(database_url, row_factory=tuple_row) as connection:
        for schema, table in connection.execute(STATEMENTS.tables).fetchall():
            statement = SQL(STATEMENTS.rows).format(table=Identifier(schema, table))
            for (row,) in connection.execute(statement):
                yield table, row


def traces(database_url: str, home: Path, marker: str) -> list[str]:
    """Return where a text is found, in the database (also in binary columns) and in the files of the data directory."""
    searched = (marker, marker.encode().hex())
    found = [table for table, row in dumped(database_url) if any(text in row for text in searched)]
    found += [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and (marker.encode() in path.read_bytes() or marker in path.name)
    ]
    return sorted(set(found))


def given(home: Path, **more: Any) -> str:
    return json.dumps({"file": str(home / "made"), **more})


def proven(env: dict[str, str]) -> None:
    assert call("audit", "verify", "--strict", "--json", env=env).document["findings"] == []
    assert call("projections", "verify", "--all", env=env).code == 0
    assert call("replay", "--check", "--all", env=env).code == 0


def test_nothing_of_a_deleted_run_is_left_but_a_tombstone(env: dict[str, str], home: Path, tmp_path: Path) -> None:
    url = env["ORCHESTRATOR_DATABASE_URL"]
    marked = {**env, "ORCHESTRATOR_SPILL_BYTES": "10"}
    mine = (
        "run", CHAIN, "--payload", json.dumps({"file": str(tmp_path / MARKER), "breaks": True}), *SKILLS, "--json",
    )  # fmt: skip
    run_id = call(*mine, env=marked).document["id"]
    other = call("run", CHAIN, "--payload", given(home), *SKILLS, "--json", env=env).document["id"]
    call("audit", "head", "--output", tmp_path / "head.json", env=env)
    before = traces(url, home, MARKER)
    assert {"events", "runs"} <= set(before)

    unconfirmed = call("runs", "delete", run_id, "--reason", "request 4711", env=env)
    assert unconfirmed.code == 1
    assert "--yes" in unconfirmed.err
    done = call("runs", "delete", run_id, "--reason", "request 4711", "--yes", "--json", env=env).document
    assert done["runId"] == run_id
    assert done["status"] == "deleted"
    assert done["reason"] == "request 4711"
    assert done["deletedBy"]
    assert done["events"] > 10
    assert traces(url, home, MARKER) == []

    proven(env)
    assert call("audit", "verify", "--head", tmp_path / "head.json", env=env).code == 0
    exported = call("audit", "export", "--output", tmp_path / "all.jsonl", "--json", env=env).document
    assert (exported["complete"], exported["leftOut"]) == (False, done["events"])
    assert "was deleted" in call("audit", "export", "--run", run_id, env=env).err
    gone = call("status", run_id, env=env)
    assert gone.code == 1
    assert "was deleted" in gone.err
    listed = call("runs", "list", "--json", env=env).document["runs"]
    assert [run["id"] for run in listed] == [other]
    with psycopg.connect(url, row_factory=tuple_row) as connection:
        assert connection.execute(STATEMENTS.deletions).fetchall() == [(run_id, "request 4711", done["deletedBy"])]
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute(STATEMENTS.forget)
    # an artifact that the other run made as well is still there
    assert call("artifacts", other, "--download", tmp_path / "copies", env=env).code == 0
    again = call("runs", "delete", run_id, "--reason", "twice", "--yes", env=env)
    assert "was deleted" in again.err


def test_content_that_only_the_deleted_run_made_goes_at_once(env: dict[str, str], home: Path) -> None:
    kept = home / "artifacts"
    run_id = call("run", CHAIN, "--payload", given(home), *SKILLS, "--json", env=env).document["id"]
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 6
    done = call("runs", "delete", run_id, "--reason", "x", "--yes", env=env)
    assert "6 objects of the artifact store" in done.out
    assert [path for path in kept.rglob("*") if path.is_file()] == []
    assert call("cache", "stats", "--json", env=env).document["entries"] == 0
    # a run that is triggered again makes everything again
    assert call("run", CHAIN, "--payload", given(home), *SKILLS, "--json", env=env).document["status"] == "completed"
    assert (home / "made").read_text(encoding="utf-8").count("first") == 2
    proven(env)


def test_a_run_that_others_need_is_refused_with_their_names(env: dict[str, str], home: Path) -> None:
    first = call("run", CHAIN, "--payload", given(home), *SKILLS, "--json", env=env).document["id"]
    second = call("run", CHAIN, "--payload", given(home), *SKILLS, "--json", env=env).document["id"]  # from the cache
    refused = call("runs", "delete", first, "--reason", "x", "--yes", env=env)
    assert refused.code == 1
    assert second in refused.err
    assert "delete these first" in refused.err
    assert call("status", first, env=env).code == 0
    for run_id in (second, first):
        assert call("runs", "delete", run_id, "--reason", "x", "--yes", env=env).code == 0
    proven(env)


def test_the_api_and_the_client_delete_for_admins_only(env: dict[str, str], home: Path) -> None:
    keys = {
        role: call("keys", "create", role, "--role", role, env=env).out.split()[-1] for role in ("operator", "admin")
    }
    with Program("dev", "--port", "0", "--workflows", CHAIN, *SKILLS, env={**env, "ORCHESTRATOR_AUTH": "keys"}) as dev:
        address = dev.ready()
        with Client(address, key=keys["operator"]) as operator, Client(address, key=keys["admin"]) as admin:
            run_id = operator.trigger("chain.v1", json.loads(given(home)), idempotency_key="once")["runId"]
            operator.wait(run_id, timeout=60)
            with pytest.raises(NotAllowed):
                operator.delete_run(run_id, reason="x")
            for reason in ("", " ", "x" * 1001, "a\nb"):
                with pytest.raises(InvalidRequest, match="reason"):
                    admin.delete_run(run_id, reason=reason)
            open_run = operator.trigger("chain.v1", {**json.loads(given(home)), "gate": str(home / "gate")})["runId"]
            with pytest.raises(Conflict) as unfinished:
                admin.delete_run(open_run, reason="x")
            assert unfinished.value.code == "RUN_NOT_FINISHED"
            operator.cancel(open_run)
            operator.wait(open_run, timeout=60)
            for needing in (open_run, run_id):  # it took a result from the cache
                done = admin.delete_run(needing, reason="asked to be forgotten")
                assert done["status"] == "deleted"
                assert done["deletedBy"].startswith("admin (key ")
            with pytest.raises(RunDeleted) as gone:
                operator.run(run_id)
            assert gone.value.status == 410
            for call_again in (operator.steps, operator.retry, operator.cancel):
                with pytest.raises(RunDeleted):
                    call_again(run_id)
            with pytest.raises(RunDeleted):
                operator.trigger("chain.v1", json.loads(given(home)), idempotency_key="once")
            assert list(operator.runs()) == []
            with pytest.raises(ApiError) as unknown:
                admin.delete_run("0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d", reason="x")
            assert unknown.value.status == 404
        authorization = {"Authorization": f"Bearer {keys['admin']}"}
        assert "\norchestrator_runs_deleted_total 2.0\n" in httpx.get(f"{address}/metrics", headers=authorization).text
        answer = httpx.delete(f"{address}/api/v1/runs/{run_id}?reason=x", headers=authorization)
        assert (answer.status_code, answer.json()["error"]) == (410, "RUN_DELETED")
        assert urlsplit(address).port
    proven(env)
