"""Every program behind a real PgBouncer, with several database roles: the same results, or one clear line."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from orchestrator.postgres.sql import load_sql
from tests.pooler import PgBouncer
from tests.waiting import eventually
from tests.world.programs import FIXTURES, ROOT, Done, Program, Site, call, completed, started

STATEMENTS = load_sql(__file__)
CHAIN = FIXTURES / "chain.yaml"
SKILLS = FIXTURES / "links.py"
STEPS = ["first", "second", "third", "fourth", "fifth", "last"]
SLOW_HEARTBEAT = {"ORCHESTRATOR_LEASE_SECONDS": "120", "ORCHESTRATOR_HEARTBEAT_SECONDS": "60"}
"""Only notifications find work in time."""
SHORT_LEASE = {"ORCHESTRATOR_LEASE_SECONDS": "2", "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.3"}


def execute(url: str, *statements: str, **names: str) -> None:
    identifiers = {name: Identifier(value) for name, value in names.items()}
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(SQL(statement).format(**identifiers))  # type: ignore[arg-type]


@pytest.fixture
def roles(database_url: str) -> Iterator[tuple[str, str]]:
    """Two roles with the documented grants, that may not see each other's sessions."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    grants = text.partition("```sql\n")[2].partition("```")[0].replace(" app", " {name}").split(";")
    made = (f"app_{uuid.uuid4().hex[:8]}", f"other_{uuid.uuid4().hex[:8]}")
    for name in made:
        execute(database_url, STATEMENTS.create_role, *(each for each in grants if each.strip()), name=name)
    yield made
    for name in made:
        execute(database_url, STATEMENTS.drop_owned, STATEMENTS.drop_role, name=name)


def default_schema(url: str, role: str) -> None:
    """Run the statement that the refusal and the docs name."""
    execute(url, STATEMENTS.default_schema, role=role, database=url.rpartition("/")[2].partition("?")[0])


def settings(url: str, home: Path, more: Mapping[str, str] = SLOW_HEARTBEAT) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_DATA_DIR": str(home), **more}


def complaint(done: Done) -> str:
    assert done.code == 1, done.out
    assert "Traceback" not in done.err
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    return line


def works(env: Mapping[str, str], home: Path) -> None:
    """Start every program and use the verbs that hold locks, listen, or read a lot."""
    assert call("migrate", "--json", env=env).code == 0
    assert call("migrate", "--check", env=env).code == 0
    with ExitStack() as stack:
        api = stack.enter_context(Program("api", "--port", "0", "--no-projector", "--workflows", CHAIN, env=env))
        site = stack.enter_context(Site(api.ready()))
        worker = stack.enter_context(Program("worker", "--skills", SKILLS, env=env))
        worker.ready()
        projector = stack.enter_context(Program("projector", env=env))
        projector.ready()
        runs = [site.trigger("chain.v1", {"file": str(home / f"made{number}")}) for number in range(5)]
        for run_id in runs:
            assert site.ended(run_id)["status"] == "completed"
            assert completed(site.events(run_id)) == STEPS
        assert call("audit", "verify", env=env).code == 0
        rebuilt = call("projections", "rebuild", "runs", "--json", env=env)
        assert rebuilt.code == 0, rebuilt.err
        applied = call("retention", "apply", "--older-than", "0s", env=env)
        assert applied.code == 0, applied.err
        for program in (worker, projector, api):
            assert program.stop() == 0
            assert "background duty failed" not in program.err
            assert "retrying" not in program.err
    for words in (("runs", "list"), ("workflows", "list"), ("keys", "create", "x"), ("cache", "stats")):
        done = call(*words, "--json", env=env)
        assert done.code == 0, done.err
        assert isinstance(done.document, dict)
    alone = call("run", CHAIN, "--skills", SKILLS, "--payload", json.dumps({"file": str(home / "alone")}), env=env)
    assert alone.code == 0, alone.err


def test_every_program_in_session_mode(empty_database_url: str, home: Path) -> None:
    with PgBouncer(empty_database_url, "session") as pooler:
        works(settings(pooler.url(), home), home)


def test_every_program_in_transaction_mode(empty_database_url: str, home: Path) -> None:
    default_schema(empty_database_url, "orchestrator")
    with PgBouncer(empty_database_url, "transaction", lifetime_seconds=1, pool_size=5) as pooler:
        env = {**settings(pooler.url(), home), "ORCHESTRATOR_LISTEN_URL": empty_database_url}
        works(env, home)


VERBS = [("migrate",), ("api", "--port", "0"), ("worker",), ("projector",), ("runs", "list")]


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
def test_transaction_mode_without_a_direct_connection(verb: tuple[str, ...], database_url: str, home: Path) -> None:
    with PgBouncer(database_url, "transaction") as pooler:
        told = complaint(call(*verb, env=settings(pooler.url(), home)))
        assert "Set ORCHESTRATOR_LISTEN_URL to a direct connection" in told


def test_transaction_mode_without_the_schema_as_a_default(
    database_url: str, roles: tuple[str, str], home: Path
) -> None:
    with PgBouncer(database_url, "transaction", users=roles) as pooler:
        env = {**settings(pooler.url(roles[0]), home), "ORCHESTRATOR_LISTEN_URL": database_url}
        told = complaint(call("worker", env=env))
        assert f"ALTER ROLE {roles[0]} IN DATABASE" in told
        assert "SET search_path = orchestrator" in told


@pytest.mark.parametrize("mode", [None, "session", "transaction"])
def test_no_run_is_stolen_between_roles(
    mode: str | None, database_url: str, roles: tuple[str, str], home: Path, tmp_path: Path
) -> None:
    """A step takes three leases. The pooler replaces its sessions all the time, and workers of two roles sweep."""
    gate, made = tmp_path / "gate", tmp_path / "made"
    with ExitStack() as stack:
        pooler = None
        if mode is not None:
            pooler = stack.enter_context(PgBouncer(database_url, mode, users=roles, lifetime_seconds=1))
        envs = []
        for role in roles:
            default_schema(database_url, role)
            direct = database_url.replace("//orchestrator@", f"//{role}@")
            env = settings(pooler.url(role) if pooler else direct, home, SHORT_LEASE)
            envs.append({**env, "ORCHESTRATOR_LISTEN_URL": direct} if mode == "transaction" else env)
        workers = [stack.enter_context(Program("worker", "--skills", SKILLS, env=env)) for env in envs]
        for worker in workers:
            worker.ready()
        api = stack.enter_context(Program("api", "--port", "0", "--workflows", CHAIN, env=envs[0]))
        site = stack.enter_context(Site(api.ready()))
        runs = [site.trigger("chain.v1", {"file": f"{made}{number}", "gate": str(gate)}) for number in range(8)]
        for run_id in runs:
            eventually(lambda run_id=run_id: "second" in started(site.events(run_id)), what="the step is executing")
        until = time.monotonic() + 6.0
        while time.monotonic() < until:
            if pooler is not None:
                pooler.command("RECONNECT")
            assert site.get("/health/queues")["workers"] == 2
            time.sleep(0.2)  # the time itself is the subject
        gate.touch()
        for run_id in runs:
            assert site.ended(run_id)["status"] == "completed"
            events = site.events(run_id)
            assert started(events) == dict.fromkeys(STEPS, 1)
            assert not [event for event in events if event["type"] == "RunRecovered"]
        for worker in workers:
            assert worker.stop() == 0


def test_the_pooler_is_restarted(database_url: str, home: Path, tmp_path: Path) -> None:
    """Requests are told to come again, and everything goes on by itself."""
    default_schema(database_url, "orchestrator")
    with PgBouncer(database_url, "transaction") as pooler, ExitStack() as stack:
        env = {**settings(pooler.url(), home, SHORT_LEASE), "ORCHESTRATOR_LISTEN_URL": database_url}
        worker = stack.enter_context(Program("worker", "--skills", SKILLS, env=env))
        worker.ready()
        api = stack.enter_context(Program("api", "--port", "0", "--workflows", CHAIN, env=env))
        site = stack.enter_context(Site(api.ready()))
        first = site.trigger("chain.v1", {"file": str(tmp_path / "made")})
        assert site.ended(first)["status"] == "completed"
        pooler.kill()
        assert site.code("/runs", {"workflowName": "chain.v1", "triggerPayload": {"file": "x"}}) == 503
        pooler.start()
        eventually(lambda: site.code("/runs") == 200, what="reads work again", shows=lambda: api.err)
        second = site.trigger("chain.v1", {"file": str(tmp_path / "more")})
        assert site.ended(second)["status"] == "completed"
