"""The package as it is installed: built, put into an environment of its own, and used far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.folders import open_folder
from tests.world.programs import CAMPAIGN, ROOT, environment

SOURCES = ("src", "examples", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def done(words: list[str | Path], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)), check=False, capture_output=True, text=True, cwd=cwd, env=environment(env), timeout=300
    )


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """The folder of the programs of an environment that has the wheel, and what it needs from ours."""
    with open_folder() as folder:
        source = folder / "source"
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(ROOT / name, source / name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source]
        built = done(build, folder)
        assert built.returncode == 0, built.stderr
        (wheel,) = folder.glob("orchestrator-*.whl")
        shutil.rmtree(source)
        venv.create(folder / "env")
        (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
        put = done([*pip, "install", "--no-deps", "--no-index", "--target", packages, wheel], folder)
        assert put.returncode == 0, put.stderr
        # A path, not our .pth files: they would bring the checkout with them.
        (packages / "needed.pth").write_text(sysconfig.get_paths()["purelib"])
        yield folder / "env" / "bin"


def orchestrate(installed: Path, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.pop(0); from orchestrator.cli import main; main()"
    return done([installed / "python", "-c", program, *words], cwd, PYTHONPATH="")


@pytest.mark.timeout(600)
def test_the_demo_runs_from_the_wheel(installed: Path, home: Path) -> None:
    where = orchestrate(installed, "version", cwd=home)
    assert where.returncode == 0, where.stderr
    shown = orchestrate(installed, "demo", "--json", "--data-dir", home / "data", cwd=home)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document["run"]["status"] == "completed"
    assert str(ROOT) not in shown.stdout + shown.stderr
    assert all(Path(file).is_file() for file in document["files"].values())


def test_what_is_installed_is_not_the_checkout(installed: Path, home: Path) -> None:
    asked = "import orchestrator, sys; print(orchestrator.__file__)"
    said = done([installed / "python", "-c", asked], home, PYTHONPATH="").stdout
    assert Path(said.strip()).is_relative_to(installed.parent)


def test_the_wheel_brings_every_file_of_the_example(installed: Path) -> None:
    (brought,) = (installed.parent / "lib").glob("python*/site-packages/orchestrator/examples/campaign")

    def files(folder: Path) -> set[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(folder).as_posix() for path in found}

    assert files(brought) == files(CAMPAIGN)


@pytest.mark.parametrize("skills", ["orchestrator.examples.campaign.skills", "studio.skills"])
def test_skills_are_loaded_by_the_name_of_their_module(installed: Path, home: Path, skills: str) -> None:
    (home / "studio").mkdir()
    (home / "studio" / "skills.py").write_text(
        "from orchestrator import skill\n\n@skill('plan.campaign')\ndef plan() -> dict:\n    return {}\n"
    )
    workflow = {"workflowName": "w", "version": "1", "steps": [{"stepId": "a", "skillId": "plan.campain"}]}
    (home / "w.json").write_text(json.dumps(workflow))
    said = orchestrate(installed, "workflows", "validate", "w.json", "--skills", skills, cwd=home)
    assert said.returncode == 0, said.stderr
    assert "unknown skill 'plan.campain'" in said.stderr


def test_the_checkout_loads_the_example_as_its_readme_says(home: Path) -> None:
    program = Path(sys.executable).with_name("orchestrator")
    words = ["workflows", "validate", CAMPAIGN / "campaign.build.v1.yaml", "--skills", "examples.campaign.skills"]
    said = done([program, *words], ROOT, PYTHONPATH=os.pathsep)
    assert said.returncode == 0, said.stderr
    assert "no skill" not in said.stderr
