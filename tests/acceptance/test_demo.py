"""The demo, as a newcomer runs it."""

import shutil
import time
from pathlib import Path

from tests.world.programs import ROOT, call


def test_the_demo_builds_a_campaign(home: Path) -> None:
    begun = time.monotonic()
    done = call("demo", "--data-dir", home, "--json")
    took = time.monotonic() - begun

    assert done.code == 0, done.err
    assert took < 60
    made = done.document
    assert made["run"]["status"] == "completed"
    assert [step["status"] for step in made["steps"]] == ["completed"] * 13
    assert all(step["durationMs"] > 0 for step in made["steps"])
    assert made["events"][0]["type"] == "RunTriggered"
    assert made["events"][-1]["type"] == "RunCompleted"
    files = {name: Path(path) for name, path in made["files"].items()}
    assert {file.parent for file in files.values()} == {home / "output" / made["run"]["id"]}
    assert files["picture"].read_bytes().startswith(b"\x89PNG")
    assert files["sound"].read_bytes()[8:12] == b"WAVE"
    assert files["bundle"].read_bytes().startswith(b"PK")
    assert "<canvas" in files["page"].read_text().lower()

    again = call("demo", "--data-dir", home)

    assert again.code == 0, again.err
    for told in ("Steps", "validate_game_bundle", "RunCompleted", "intro.png", "game.zip", "came from the cache"):
        assert told in again.out
    assert "run completed" in again.err
    assert "To play it, open file://" in again.out


def test_without_the_examples_it_says_so(home: Path) -> None:
    shutil.copytree(ROOT / "src" / "orchestrator", home / "src" / "orchestrator")
    done = call("demo", env={"PYTHONPATH": str(home / "src")}, cwd=home)

    assert done.code == 1
    assert done.err.startswith("error: The demo's example is missing")
    assert "Reinstall the package" in done.err
