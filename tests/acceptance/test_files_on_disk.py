"""What programs leave on the disk: readable for its owner only, and found again wherever the data directory goes."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.client import Client
from orchestrator.client.errors import ArtifactGone, InvalidRequest, RunNotFound
from orchestrator.domain.workflow import workflow_from_json
from orchestrator.skills import StepContext, skill
from orchestrator.skills.skill import Skill, skill_of
from tests.world.core import open_world
from tests.world.programs import FIXTURES, Done, Program, call, command, environment
from tests.world.work import at_work

WORDS = ("run", FIXTURES / "keeper.yaml", "--skills", FIXTURES / "keeper.py", "--json")
GIVEN = json.dumps({"files": ["a.txt", "b.txt"], "characters": 50_000})


@pytest.fixture
def env(database_url: str) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": database_url}


def run(env: dict[str, str], place: Path | str, **options: Any) -> Done:
    done = call(*WORDS, "--payload", GIVEN, "--data-dir", str(place), env=env, **options)
    assert done.code == 0, done.err
    return done


def entries(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def open_to_others(folder: Path) -> list[str]:
    return [
        f"{oct(stat.S_IMODE(entry.lstat().st_mode))} {entry}"
        for entry in entries(folder)
        if not entry.is_symlink() and entry.lstat().st_mode & 0o077
    ]


def steps(run_id: str, place: Path, env: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = call("steps", run_id, "--data-dir", place, "--json", env=env).document["steps"]
    return {step["stepId"]: step for step in found}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_nobody_else_may_read_what_a_program_leaves(umask: int, env: dict[str, str], home: Path) -> None:
    place = home / "data"

    def orchestrate(*words: str | Path) -> None:
        subprocess.run(
            command(words),
            check=True,
            capture_output=True,
            env=environment({**env, "ORCHESTRATOR_RETENTION_DAYS": "0", "ORCHESTRATOR_DATA_DIR": str(place)}),
            umask=umask,
        )

    orchestrate(*WORDS, "--payload", GIVEN)
    orchestrate("cache", "prune", "--max-entries", "0")
    orchestrate("retention", "apply")
    orchestrate("audit", "export", "--output", place / "log.parquet")
    orchestrate("audit", "keygen", place / "key.pem")
    (place / "key.pem.pub").unlink()  # for everybody
    files = [entry for entry in entries(place) if entry.is_file()]
    assert len(files) >= 3 + 1 + 1 + 1  # artifacts and data, an archive, an export, a key
    assert open_to_others(place) == []


def test_the_data_directory_of_our_own_postgres_lets_others_only_pass(home: Path) -> None:
    place = home / "data"
    done = subprocess.run(
        command([*WORDS, "--payload", GIVEN, "--data-dir", place]),
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        umask=0,
    )
    assert done.returncode == 0, done.stderr
    # Root's database runs as another user, who has to pass.
    assert stat.S_IMODE(place.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert open_to_others(place / "artifacts") == []
    assert open_to_others(place / "postgres") == []
    assert open_to_others(place / "postgres.log") == []


def test_a_folder_that_exists_stays_as_it_is(env: dict[str, str], home: Path) -> None:
    place = home / "data"
    place.mkdir(mode=0o750)
    place.chmod(0o2750)
    run(env, place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o2750


def test_a_moved_data_directory_is_as_it_was(env: dict[str, str], home: Path) -> None:
    first = run(env, home / "old").document
    shutil.move(home / "old", home / "new")
    again = run(env, home / "new").document
    assert {name: step["hitReason"] for name, step in steps(again["id"], home / "new", env).items()} == {
        "make": "cache",
        "read": "cache",
    }
    verified = call("audit", "verify", "--data-dir", home / "new", env=env)
    assert verified.code == 0, verified.out
    copied = call("artifacts", first["id"], "--download", home / "copy", "--data-dir", home / "new", env=env)
    assert copied.code == 0, copied.err
    assert (home / "copy" / "make" / "a.txt").read_text() == "content of a.txt"


def test_large_data_is_there_for_everybody(env: dict[str, str], home: Path) -> None:
    """In the data directory, over HTTP, and with the client: told where it is, and given whole."""
    made = run(env, home / "data").document
    again = run(env, home / "data").document  # from the cache
    here = ("--data-dir", home / "data")
    expected = {"text": "x" * 50_000}
    found = steps(made["id"], home / "data", env)
    assert (found["make"]["data"], found["make"]["dataRef"]["sizeBytes"]) == (None, len(json.dumps(expected)) - 1)
    assert found["make"]["dataPreview"] == json.dumps(expected, separators=(",", ":"))[:1024]
    assert found["make"]["dataUrl"] == f"/api/v1/runs/{made['id']}/steps/make/data"
    assert [found["read"][name] for name in ("dataRef", "dataPreview", "dataUrl")] == [None] * 3
    listed = call("steps", made["id"], *here, env=env).out
    assert '50.0 kB of data: {"text":"xxxx' in " ".join(listed.split())
    words = ("steps", made["id"], *here, "--download", home / "data.json", "--json")
    written = call(*words, "--data", "make", env=env).document
    assert written == {"runId": made["id"], "stepId": "make", "path": str(home / "data.json"), "sizeBytes": 50_011}
    assert json.loads((home / "data.json").read_text()) == expected
    assert "Add --data STEP" in call(*words, env=env).err
    assert "Cannot write" in call(*words[:-2], home / "no" / "folder", "--data", "make", env=env).err
    for run_id in (made["id"], again["id"]):
        assert call("steps", run_id, "--data", "make", *here, env=env).document == expected
    small = call("steps", made["id"], "--data", "read", *here, env=env).document
    assert small == found["read"]["data"]
    assert small["characters"] == 50_000
    unknown = call("steps", made["id"], "--data", "mak", *here, env=env)
    assert unknown.code == 1
    assert "no step 'mak'" in unknown.err

    with Program("dev", "--port", "0", *here, env=env) as program, Client(program.ready()) as client:
        (step,) = (step for step in client.steps(again["id"]) if step["stepId"] == "make")
        assert (step["data"], step["dataRef"]) == (None, found["make"]["dataRef"])
        assert client.step_data(again["id"], "make") == expected
        assert client.step_data(again["id"], "read") == small
        assert httpx.get(f"{program.ready()}{step['dataUrl']}").json() == expected
        assert step["dataUrl"].split("/")[4] == again["id"]
        for name, whole in (("make", expected), ("read", small)):
            client.download_data(again["id"], name, home / "got.json")
            assert json.loads((home / "got.json").read_text()) == whole
        words = ("steps", again["id"], "--data", "make", "--download", home / "far.json", "--server", program.ready())
        assert call(*words).code == 0
        assert (home / "far.json").read_bytes() == (home / "data.json").read_bytes()
        with pytest.raises(InvalidRequest, match="no step 'mak'"):
            client.step_data(again["id"], "mak")
        with pytest.raises(RunNotFound):
            client.step_data("0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d", "make")
        for lost in (home / "data" / "artifacts").rglob("sha256/*/*"):
            if lost.stat().st_size > 40_000:
                lost.unlink()
        with pytest.raises(ArtifactGone):
            client.step_data(again["id"], "make")
        with pytest.raises(ArtifactGone):
            client.download_data(again["id"], "make", home / "got.json")
        assert json.loads((home / "got.json").read_text()) == small, "whole or not at all"
        assert list(home.glob(".*.part")) == []


def test_every_artifact_is_copied_whatever_the_names(env: dict[str, str], home: Path) -> None:
    names = [
        "train/metrics.txt",
        "test/metrics.txt",
        "Notes.txt",
        "notes.txt",
        "nul",
        "x" * 251 + ".txt",
        "a\u202eb.txt",
    ]
    payload = json.dumps({"files": names, "characters": 1})
    done = call(*WORDS, "--payload", payload, "--data-dir", home / "data", env=env)
    words = ("artifacts", done.document["id"], "--download", home / "copy", "--data-dir", home / "data", "--json")
    copied = call(*words, env=env).document["artifacts"]
    assert {each["filename"]: Path(each["path"]).read_text() for each in copied} == {
        name: f"content of {name}" for name in names
    }
    assert (home / "copy" / "make" / "train" / "metrics.txt").read_text() == "content of train/metrics.txt"
    folded = [str(path).casefold() for path in (home / "copy").rglob("*") if path.is_file()]
    assert len(folded) == len(set(folded)) == len(names)


@pytest.mark.parametrize("step", ["..", ".", "-rf", ".hidden", "a/b", "a\\b", "a\0b", "a\nb"])
def test_a_step_that_could_not_name_a_folder_is_refused(env: dict[str, str], home: Path, step: str) -> None:
    document = {"workflowName": "w", "version": "1", "steps": [{"stepId": step, "skillId": "keeper.make"}]}
    (home / "w.json").write_text(json.dumps(document))
    done = call("workflows", "register", home / "w.json", "--data-dir", home / "data", env=env)
    assert done.code == 1
    assert "steps[0].stepId" in done.err


async def test_a_step_of_an_old_log_stays_in_the_folder(env: dict[str, str], home: Path) -> None:
    """Version 0.1 took `..` for the id of a step."""
    definition = workflow_from_json(
        {"workflowName": "old", "version": "1", "steps": [{"stepId": "..", "skillId": "old.make"}]}
    )

    @skill("old.make")
    async def make(given: Any, ctx: StepContext) -> dict[str, Any]:
        ctx.artifact(b"x", type="x", filename="evil.txt")
        return {}

    made: Skill | None = skill_of(make)
    assert made is not None
    with open_world(env["ORCHESTRATOR_DATABASE_URL"], home / "data") as world:
        await world.register(definition)
        async with at_work(world.core, [made]):
            run_id = (await world.run("old", {})).id
    words = ("artifacts", run_id, "--download", home / "copy" / "here", "--data-dir", home / "data")
    done = call(*words, env=env)
    assert done.code == 0, done.err
    assert [path.relative_to(home / "copy").as_posix() for path in (home / "copy").rglob("*") if path.is_file()] == [
        "here/__/evil.txt"
    ]
    assert call("replay", run_id, "--check", "--data-dir", home / "data", env=env).code == 0


def test_a_restored_backup_is_read_by_a_step_that_runs_again(env: dict[str, str], home: Path) -> None:
    run(env, home / "old")
    shutil.copytree(home / "old", home / "restored")
    shutil.rmtree(home / "old")
    place = ("--data-dir", home / "restored")
    assert call("cache", "invalidate", "--workflow", "keeper.v1", "--step", "read", *place, env=env).code == 0
    again = run(env, home / "restored").document
    found = steps(again["id"], home / "restored", env)
    assert (found["make"]["hitReason"], found["read"]["status"]) == ("cache", "completed")
    assert found["read"]["data"] == {"contents": ["content of a.txt", "content of b.txt"], "characters": 50_000}


def test_the_same_place_by_another_name_is_the_same_place(env: dict[str, str], home: Path) -> None:
    (home / "link").symlink_to(home / "data")
    (home / "data").mkdir()
    (home / "other").mkdir()
    run(env, home / "other" / ".." / "data")
    for place in (home / "link", home / "data", Path("data")):
        again = run(env, place, cwd=home).document
        found = call("steps", again["id"], "--data-dir", place, "--json", env=env, cwd=home).document["steps"]
        assert [step["hitReason"] for step in found] == ["cache", "cache"]


def test_a_file_that_is_really_gone_is_found_by_the_audit(env: dict[str, str], home: Path) -> None:
    run(env, home / "old")
    shutil.move(home / "old", home / "new")
    lost = next(entry for entry in (home / "new" / "artifacts").rglob("*") if entry.is_file())
    lost.unlink()
    verified = call("audit", "verify", "--json", "--data-dir", home / "new", env=env)
    assert verified.code == 1
    assert "missing" in verified.document["findings"][0]["message"]
