"""The verbs about read models, as operators use them."""

import asyncio
import signal
from pathlib import Path

import psycopg
import pytest

from benchmarks.histories import make_log, make_read_models
from orchestrator.postgres.sql import load_sql
from tests.waiting import eventually
from tests.world.core import open_world
from tests.world.programs import Program, call

SQL = load_sql(__file__)
EVENTS = 60_000


@pytest.fixture
def env(database_url: str, home: Path) -> dict[str, str]:
    """Settings for a database of the test's own, with a log and read models."""
    with open_world(database_url, home) as world:
        asyncio.run(make_log(world.core, EVENTS))
        make_read_models(world.core)
    return {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}


def change(env: dict[str, str], statement: str) -> None:
    with psycopg.connect(env["ORCHESTRATOR_DATABASE_URL"], autocommit=True) as connection:
        assert connection.execute(statement).rowcount > 0


def test_read_models_are_compared_rebuilt_and_sent_on(env: dict[str, str]) -> None:
    listed = call("projections", "list", "--json", env=env).document["projections"]
    assert {one["name"]: one["lagEvents"] for one in listed} == dict.fromkeys(
        ("artifacts", "run_queue", "run_steps", "runs", "step_cache"), 0
    )
    assert call("projections", "verify", "--all", env=env).code == 0

    change(env, SQL.alter)
    change(env, SQL.unqueue)
    found = call("projections", "verify", "runs", "run_queue", env=env)
    assert found.code == 1
    assert "1 row differs from the log" in found.out
    assert '"lost"' in found.out
    tried = call("projections", "rebuild", "runs", "--dry-run", "--json", env=env)
    assert tried.code == 1
    (report,) = tried.document["reports"]
    assert report["differences"][0]["columns"] == {"status": {"live": "lost", "rebuilt": "completed"}}
    mended = call("projections", "rebuild", "--all", env=env)
    assert mended.code == 0
    assert "corrected by the rebuild" in mended.out
    assert "runs: fill, 0 of " in mended.err
    assert call("projections", "verify", "--all", env=env).code == 0

    change(env, SQL.stop)
    shown = call("projections", "list", env=env)
    assert "stopped" in shown.out
    assert "at position 17: no good" in shown.out
    assert call("projections", "retry", "runs", env=env).code == 0
    change(env, SQL.stop)
    assert call("projections", "skip", "runs", "--json", env=env).document["skipped"] == 17
    refused = call("projections", "skip", "runs", env=env)
    assert (refused.code, refused.err) == (1, "error: runs is not stopped\n")
    assert "unknown read model 'x'" in call("projections", "rebuild", "x", env=env).err
    assert "names of read models or --all" in call("projections", "rebuild", env=env).err


def test_ctrl_c_interrupts_and_the_same_command_goes_on(env: dict[str, str]) -> None:
    with Program("projections", "rebuild", "run_steps", "--processes", "1", env=env) as program:
        eventually(lambda: "fill" in program.err or program.process.poll() is not None, shows=lambda: program.err)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 128 + signal.SIGINT
        assert "run the same command again to resume" in program.err
        assert "Traceback" not in program.err
    assert "rebuild interrupted" in call("projections", "list", env=env).out
    (report,) = call("projections", "rebuild", "run_steps", "--json", env=env).document["reports"]
    assert 0 < report["resumedAt"] < EVENTS
    assert report["differing"] == 0
