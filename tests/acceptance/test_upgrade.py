"""A database of release 0.1.0, made by that very program, is migrated, replays, verifies and goes on."""

import io
import signal
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.waiting import eventually
from tests.world.programs import FIXTURES, ROOT, Program, Site, call, started

RELEASE = "79481f0"
"""The commit of 0.1.0."""

DUE = ["0016_leases_decide", "0017_step_progress"]
SKILLS = ("--skills", FIXTURES / "links.py")


@pytest.fixture
def old_program(tmp_path: Path) -> Path:
    """A folder that, first on PYTHONPATH, makes a program of 0.1.0."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", RELEASE, "src"], check=False, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history of git is not here: {archive.stderr.decode().strip()}")
    folder = tmp_path / "0.1.0"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder / "src"


@pytest.mark.timeout(600)
def test_a_database_of_0_1_0_goes_on(
    empty_database_url: str, old_program: Path, home: Path, tmp_path: Path, programs: ExitStack
) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": empty_database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    old = {**env, "PYTHONPATH": str(old_program)}
    files = {name: tmp_path / name for name in ("done", "under way", "queued", "gate", "new")}
    assert call("version", env=old).out.startswith("orchestrator 0.1.0")
    finished = call("run", FIXTURES / "chain.yaml", *SKILLS, "--json", "--payload", payload(files["done"]), env=old)
    assert finished.code == 0, finished.err

    # What 0.1.0 leaves: a run that is done, one that its worker died of, and one that nobody began.
    api = programs.enter_context(Program("api", "--port", "0", "--workflows", FIXTURES / "chain.yaml", env=old))
    with Site(api.ready()) as site, Program("worker", *SKILLS, env=old) as worker:
        worker.ready()
        runs = {"under way": site.trigger("chain.v1", {"file": f"{files['under way']}", "gate": f"{files['gate']}"})}
        eventually(lambda: "second" in started(site.events(runs["under way"])))
        worker.kill()
        runs["queued"] = site.trigger("chain.v1", {"file": f"{files['queued']}"})
    assert api.stop(signal.SIGTERM) in {0, 128 + signal.SIGTERM}

    refused = call("runs", "list", env=env)
    assert refused.code == 1
    assert "has schema 15, and this program needs" in refused.err
    check = call("migrate", "--check", "--json", env=env)
    assert (check.code, check.document["due"][: len(DUE)]) == (1, DUE)
    migrated = call("migrate", "--json", env=env)
    assert (migrated.code, migrated.document["applied"]) == (0, check.document["due"]), migrated.err
    refused = call("runs", "list", env=old)
    assert (refused.code, "migrated by a newer program" in refused.err) == (1, True)

    verify(env)
    done = next(run for run in call("runs", "list", "--json", env=env).document["runs"] if run["status"] == "completed")
    assert call("replay", done["id"], "--json", env=env).code == 0
    assert call("history", done["id"], "--json", env=env).code == 0

    files["gate"].touch()
    api = programs.enter_context(Program("api", "--port", "0", env=env))
    site = programs.enter_context(Site(api.ready()))
    programs.enter_context(Program("worker", *SKILLS, env=env)).ready()
    runs["new"] = site.trigger("chain.v1", {"file": f"{files['new']}"})
    for name, run_id in runs.items():
        assert site.ended(run_id)["status"] == "completed"
        assert files[name].read_text(encoding="utf-8").splitlines() == [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "last",
        ]
    verify(env)


def payload(file: Path) -> str:
    return f'{{"file": "{file}"}}'


def verify(env: dict[str, str]) -> None:
    """See that everything follows from the log."""
    audited = call("audit", "verify", "--json", env=env)
    assert (audited.code, audited.document["findings"], audited.document["unchecked"]) == (0, [], []), audited.out
    assert call("projections", "verify", "--all", env=env).code == 0
