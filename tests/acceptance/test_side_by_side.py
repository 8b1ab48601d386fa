"""Two releases share a database: both write and both read, before and after the new format is finished.

Neither misreads what it does not know, claims it, or loses it.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from orchestrator.postgres.sql import load_sql
from tests.acceptance.next_release import MIGRATION, make_next_release
from tests.waiting import eventually
from tests.world.programs import FIXTURES, Program, Site, call

SQL = load_sql(__file__)
KNOWN_NOW = {"WorkflowRegistered", "RunTriggered", "RunStarted", "StepStarted", "StepCompleted", "RunCompleted"}
TEAM = {"workflowName": "team.v1", "version": "1", "team": "blue", "steps": [{"stepId": "a", "skillId": "chain.link"}]}
TEAM["steps"][0]["input"] = {"file": "trigger.file", "name": "'a'"}  # type: ignore[index]


class Release:
    """The programs of one release on the shared database."""

    def __init__(self, programs: ExitStack, env: dict[str, str]) -> None:
        self._programs = programs
        self.env = env
        self.address = ""

    def serve(self) -> None:
        api = self._programs.enter_context(
            Program("api", "--port", "0", "--workflows", FIXTURES / "chain.yaml", env=self.env)
        )
        self.address = api.ready()
        self.site = self._programs.enter_context(Site(self.address))
        self.start_worker()

    def start_worker(self) -> None:
        self.worker = self._programs.enter_context(Program("worker", "--skills", FIXTURES / "links.py", env=self.env))
        self.worker.ready()

    def ask(self, method: str, path: str, document: Any = None) -> httpx.Response:
        return httpx.request(method, f"{self.address}/api/v1{path}", json=document, timeout=30)


class World:
    """Both releases, and the database between them."""

    def __init__(self, url: str, folder: Path, ours: Release, following: Release) -> None:
        self._url = url
        self._folder = folder
        self.ours = ours
        self.following = following
        self._made = 0

    def rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return connection.execute(statement, given).fetchall()

    def payload(self, **more: str) -> dict[str, str]:
        """A payload that no earlier result serves; the file in it gets a line for each step that is executed."""
        self._made += 1
        return {"file": str(self._folder / f"made-{self._made}"), **more}

    def queued(self, run_id: str) -> tuple[int, str | None] | None:
        """The format and the owner of a run in the queue."""
        found = [row for row in self.rows(SQL.queued) if row["run_id"] == run_id]
        return (found[0]["format"], found[0]["owner"]) if found else None

    def complete(self, run_id: str, payload: dict[str, str], steps: int = 6) -> None:
        """See that a run completes for both releases, each step executed once."""
        for release in (self.ours, self.following):
            assert release.site.ended(run_id)["status"] == "completed"
        assert len(Path(payload["file"]).read_text(encoding="utf-8").splitlines()) == steps


@pytest.fixture
def world(database_url: str, home: Path, tmp_path: Path, programs: ExitStack) -> World:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    next_env = {**env, "PYTHONPATH": str(make_next_release(tmp_path / "next"))}
    return World(database_url, tmp_path, Release(programs, env), Release(programs, next_env))


@pytest.mark.timeout(600)
def test_two_releases_share_a_database(world: World) -> None:
    ours, following = world.ours, world.following
    ours.serve()
    _migrate_under_way(world)
    following.serve()
    _share(world)
    _nothing_new_is_written(world)

    done = call("migrate", "--finish", env=following.env)
    assert (done.code, "Format 3 is finished." in done.out) == (0, True)
    eventually(lambda: following.ask("POST", "/workflows", TEAM).status_code == 201)  # once it was told
    eventually(lambda: _new_field_is_written(world))  # once its worker claims one of the runs
    _leave_alone(world)
    _share(world)
    _prove(world)


def _migrate_under_way(world: World) -> None:
    """The database is migrated under running programs of this release."""
    check = call("migrate", "--check", "--json", env=world.following.env)
    assert (check.code, check.document["due"]) == (1, [MIGRATION])
    refused = call("runs", "list", env=world.following.env)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"needs {int(MIGRATION[:4])}. Upgrade it with `orchestrator migrate`." in refused.err
    assert call("migrate", env=world.following.env).code == 0
    payload = world.payload()
    run_id = world.ours.site.trigger("chain.v1", payload)
    assert world.ours.site.ended(run_id)["status"] == "completed"
    world.ours.worker.stop()
    world.ours.start_worker()  # it starts on a database that is ahead
    assert call("migrate", "--check", env=world.ours.env).code == 0


def _share(world: World) -> None:
    """Runs that were triggered at either release complete, whoever executes them, and both say so."""
    made = []
    for release in (world.ours, world.following) * 3:
        payload = world.payload()
        made.append((release.site.trigger("chain.v1", payload), payload))
    for run_id, payload in made:
        world.complete(run_id, payload)


def _nothing_new_is_written(world: World) -> None:
    """Before the format is finished, the newer release writes what this one knows, and refuses the rest."""
    payload = world.payload(remark="nice")
    world.complete(world.following.site.trigger("chain.v1", payload), payload)
    refused = world.following.ask("POST", "/workflows", TEAM)
    assert (refused.status_code, refused.json()["error"]) == (409, "FORMAT_NOT_FINISHED")
    assert {row["topic"] for row in world.rows(SQL.topics)} == KNOWN_NOW
    assert world.rows(SQL.fields, field=b'"host"')[0]["count"] == 0


def _new_field_is_written(world: World) -> bool:
    _share(world)
    return bool(world.rows(SQL.fields, field=b'"host"')[0]["count"])


def _leave_alone(world: World) -> None:
    """What only the newer release knows waits for its workers, and this release says that it does not know it."""
    ours, following = world.ours, world.following
    following.worker.stop()
    remarked, of_team = world.payload(remark="nice"), world.payload()
    runs = {
        following.site.trigger("chain.v1", remarked): (remarked, 6),
        following.site.trigger("team.v1", of_team): (of_team, 1),
    }
    known = world.payload()
    known_run = ours.site.trigger("chain.v1", known)
    assert following.site.ended(known_run)["status"] == "completed", (
        "claimed by our worker, which passed over the others"
    )
    assert [world.queued(run_id) for run_id in runs] == [(3, None), (3, None)]

    for run_id in runs:
        answer = ours.ask("POST", f"/runs/{run_id}/cancel", {})
        assert (answer.status_code, answer.json()["error"]) == (503, "NEEDS_NEWER_PROGRAM")
    answer = ours.ask("POST", "/runs", {"workflowName": "team.v1", "triggerPayload": of_team})
    assert (answer.status_code, answer.json()["error"]) == (503, "NEEDS_NEWER_PROGRAM")
    eventually(lambda: all(following.ask("GET", f"/runs/{run_id}").json()["status"] == "queued" for run_id in runs))
    listed = ours.site.get("/runs?limit=50")["runs"]
    assert {run["status"] for run in listed if run["id"] in runs} <= {"queued"}
    assert {each["workflowName"] for each in ours.site.get("/workflows")["workflows"]} == {"chain.v1", "team.v1"}

    following.start_worker()
    for run_id, (payload, steps) in runs.items():
        assert following.site.ended(run_id)["status"] == "completed"
        assert len(Path(payload["file"]).read_text(encoding="utf-8").splitlines()) == steps
        assert ours.ask("GET", f"/runs/{run_id}").json()["status"] == "completed"
    assert {row["topic"] for row in world.rows(SQL.topics)} == {*KNOWN_NOW, "RunRemarked"}


def _prove(world: World) -> None:
    """Nothing was lost: the newer release proves all of it, and this one all that it knows."""
    audited = call("audit", "verify", "--json", env=world.following.env)
    assert (audited.code, audited.document["unchecked"]) == (0, []), audited.out
    audited = call("audit", "verify", "--json", env=world.ours.env)
    assert audited.code == 0, audited.out
    assert audited.document["unchecked"]
    assert "RunRemarked" in json.dumps(audited.document["unchecked"])
    refused = call("projections", "verify", "runs", env=world.ours.env)
    assert refused.code == 1
    assert refused.err.splitlines()[-1].startswith("error: Unknown event 'RunRemarked': a newer program wrote it")
    refused = call("retention", "apply", "--older-than", "1s", env=world.ours.env)
    assert (refused.code, "retention must know the whole log" in refused.err.lower()) == (1, True)
    assert call("projections", "verify", "--all", env=world.following.env).code == 0
    for release in (world.ours, world.following):
        assert call("projections", "verify", "run_queue", env=release.env).code == 0
